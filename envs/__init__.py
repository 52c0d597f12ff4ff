"""Design environments that come with designopt; importing this registers them, without importing any of them."""

import sys
from types import ModuleType

from designopt import registry
from designopt.registry import register_env


class _Envs(ModuleType):
    """Importing this package binds it as ``designopt.envs``, over the function of that name: so it answers as one."""

    def __call__(self) -> list[str]:
        return registry.envs()


sys.modules[__name__].__class__ = _Envs

register_env("designopt/AAV-v0", "designopt.envs.protein.measured:AAV")
register_env("designopt/Ackley-v0", "designopt.envs.engineering.ackley:Ackley")
register_env("designopt/ArcsAndDisc-v0", "designopt.envs.engineering.arcs_and_disc:ArcsAndDisc")
register_env("designopt/BikeFrame-v0", "designopt.envs.engineering.bike_frame:BikeFrame")
register_env("designopt/BilevelToy-v0", "designopt.envs.nas.bilevel_toy:BilevelToy")
register_env("designopt/CantileverBeam-v0", "designopt.envs.engineering.cantilever:CantileverBeam")
register_env("designopt/CapitalBudgeting-v0", "designopt.envs.robust.capital_budgeting:CapitalBudgeting")
register_env("designopt/CarSideImpact-v0", "designopt.envs.engineering.car_side_impact:CarSideImpact")
register_env("designopt/CarSideImpactMO-v0", "designopt.envs.engineering.car_side_impact_mo:CarSideImpactMO")
register_env("designopt/ClutchBrake-v0", "designopt.envs.engineering.clutch_brake:ClutchBrake")
register_env("designopt/CompressionSpring-v0", "designopt.envs.engineering.spring:CompressionSpring")
register_env("designopt/DeepMAD-v0", "designopt.envs.nas.deepmad:DeepMAD")
register_env("designopt/DNNAccelerator-v0", "designopt.envs.hardware.accelerator.env:DNNAccelerator")
register_env("designopt/DRAMController-v0", "designopt.envs.hardware.dram.env:DRAMController")
register_env("designopt/DiscBrake-v0", "designopt.envs.engineering.disc_brake:DiscBrake")
register_env("designopt/Ehrlich-v0", "designopt.envs.protein.ehrlich:Ehrlich")
register_env("designopt/FacilityDisruption-v0", "designopt.envs.robust.facility_disruption:FacilityDisruption")
register_env("designopt/FourBarTruss-v0", "designopt.envs.engineering.four_bar_truss:FourBarTruss")
register_env("designopt/GB1-v0", "designopt.envs.protein.measured:GB1")
register_env("designopt/GKXWC1-v0", "designopt.envs.engineering.gkxwc:GKXWC1")
register_env("designopt/GKXWC2-v0", "designopt.envs.engineering.gkxwc:GKXWC2")
register_env("designopt/GaussianMixture-v0", "designopt.envs.protein.mixture:GaussianMixture")
register_env("designopt/GearTrainMO-v0", "designopt.envs.engineering.gear_train_mo:GearTrainMO")
register_env("designopt/HeatExchanger-v0", "designopt.envs.engineering.heat_exchanger:HeatExchanger")
register_env("designopt/HyperCuboid-v0", "designopt.envs.nas.hypercuboid:HyperCuboid")
register_env("designopt/JLH1-v0", "designopt.envs.engineering.jlh:JLH1")
register_env("designopt/JLH2-v0", "designopt.envs.engineering.jlh:JLH2")
register_env("designopt/KeaneBump-v0", "designopt.envs.engineering.keane:KeaneBump")
register_env("designopt/LocationTransport-v0", "designopt.envs.robust.location_transport:LocationTransport")
register_env("designopt/MiniNAS-v0", "designopt.envs.nas.mini_nas:MiniNAS")
register_env("designopt/NASBench201-v0", "designopt.envs.nas.nasbench201:NASBench201")
register_env("designopt/NASBenchMacro-v0", "designopt.envs.nas.nasbench_macro:NASBenchMacro")
register_env("designopt/Mapping-v0", "designopt.envs.hardware.mapping.env:MappingEnv")
register_env("designopt/PhoQ-v0", "designopt.envs.protein.measured:PhoQ")
register_env("designopt/PoissonField-v0", "designopt.envs.protein.poisson:PoissonField")
register_env("designopt/PressureVessel-v0", "designopt.envs.engineering.pressure_vessel:PressureVessel")
register_env("designopt/RNAFolding-v0", "designopt.envs.protein.rna:RNAFolding")
register_env("designopt/ReinforcedConcreteBeam-v0", "designopt.envs.engineering.concrete_beam:ReinforcedConcreteBeam")
register_env("designopt/RobustKnapsack-v0", "designopt.envs.robust.knapsack:RobustKnapsack")
register_env("designopt/RoughMtFuji-v0", "designopt.envs.protein.fuji:RoughMtFuji")
register_env("designopt/SoC-v0", "designopt.envs.hardware.soc.env:SystemOnChip")
register_env("designopt/SpeedReducer-v0", "designopt.envs.engineering.speed_reducer:SpeedReducer")
register_env("designopt/SpeedReducerMO-v0", "designopt.envs.engineering.speed_reducer_mo:SpeedReducerMO")
register_env("designopt/SystolicArray-v0", "designopt.envs.hardware.systolic:SystolicArray")
register_env("designopt/TFBind8-v0", "designopt.envs.protein.measured:TFBind8")
register_env("designopt/ThreeTruss-v0", "designopt.envs.engineering.three_truss:ThreeTruss")
register_env("designopt/TwoBarTruss-v0", "designopt.envs.engineering.two_bar_truss:TwoBarTruss")
register_env("designopt/VehicleSafety-v0", "designopt.envs.engineering.vehicle_safety:VehicleSafety")
register_env("designopt/WeldedBeam-v0", "designopt.envs.engineering.welded_beam:WeldedBeam")
register_env("designopt/WeldedBeamMO-v0", "designopt.envs.engineering.welded_beam_mo:WeldedBeamMO")
