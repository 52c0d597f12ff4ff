"""A run that is recorded, looked at later, and continued with a larger budget."""

import designopt as do


def main(store="runs.db", search="ga"):
    first = do.optimize("designopt/SpeedReducer-v0", search=search, budget=40, seed=0, store=store)
    result = do.resume(store, first.run_id, budget=80)
    print(f"{first.run_id}: best weight {first.best_value} after 40, {result.best_value} after {len(result.designs)}")
    return first, result


if __name__ == "__main__":
    main()
