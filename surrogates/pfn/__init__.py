"""Prior-fitted networks: transformers that predict in context, without fitting."""
