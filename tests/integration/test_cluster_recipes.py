"""The cluster recipes against Ray's own schema and the fields of KubeRay's RayJob, and the sweep file inside."""

import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

from designopt.sweep.plan import read_plan

RECIPES = Path(__file__).parents[2] / "examples" / "cluster"


def table(required=(), **properties):
    """JSON schema of an object that has these fields and no others."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


TEXT, COUNT, FLAG = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
QUANTITY = {"type": "string", "pattern": r"^\d+(\.\d+)?(m|Ki|Mi|Gi|Ti)?$"}
AMOUNTS = {"type": "object", "additionalProperties": QUANTITY}

# The part of a Kubernetes pod that the recipe uses.
CONTAINER = table(
    ["name", "image", "resources"],
    name={"type": "string", "pattern": "^[a-z0-9-]{1,63}$"},
    image=TEXT,
    env={"type": "array", "items": table(["name", "value"], name=TEXT, value=TEXT)},
    resources=table(["requests", "limits"], requests=AMOUNTS, limits=AMOUNTS),
    ports={
        "type": "array",
        "items": table(["containerPort"], containerPort={"type": "integer", "maximum": 65535}, name=TEXT),
    },
    volumeMounts={"type": "array", "items": table(["name", "mountPath"], name=TEXT, mountPath=TEXT)},
)
VOLUME = table(
    ["name"],
    name=TEXT,
    persistentVolumeClaim=table(["claimName"], claimName=TEXT),
    configMap=table(["name"], name=TEXT),
)
POD = table(
    ["spec"],
    metadata={"type": "object"},
    spec=table(
        ["containers"],
        containers={"type": "array", "items": CONTAINER, "minItems": 1},
        volumes={"type": "array", "items": VOLUME},
        securityContext=table(fsGroup=COUNT),
    ),
)

# Fields of KubeRay's API v1: RayJobSpec, RayClusterSpec, HeadGroupSpec, WorkerGroupSpec, AutoscalerOptions.
HEAD = table(
    ["rayStartParams", "template"],
    serviceType=TEXT,
    headService={"type": "object"},
    enableIngress=FLAG,
    rayStartParams=TEXTS,
    template=POD,
)
WORKERS = table(
    ["groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"],
    groupName=TEXT,
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    numOfHosts=COUNT,
    rayStartParams=TEXTS,
    template=POD,
    scaleStrategy={"type": "object"},
)
CLUSTER = table(
    ["headGroupSpec"],
    headGroupSpec=HEAD,
    workerGroupSpecs={"type": "array", "items": WORKERS},
    rayVersion=TEXT,
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=table(
        idleTimeoutSeconds=COUNT,
        upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
        resources={"type": "object"},
        image=TEXT,
    ),
    headServiceAnnotations=TEXTS,
    suspend=FLAG,
)
JOB = table(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=table(["name"], name={"type": "string", "pattern": "^[a-z0-9-]{1,47}$"}),
    spec=table(
        ["entrypoint", "rayClusterSpec"],
        activeDeadlineSeconds=COUNT,
        backoffLimit=COUNT,
        rayClusterSpec=CLUSTER,
        submitterPodTemplate={"type": "object"},
        metadata=TEXTS,
        clusterSelector=TEXTS,
        submitterConfig=table(backoffLimit=COUNT),
        entrypoint=TEXT,
        runtimeEnvYAML=TEXT,
        jobId=TEXT,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode"]},
        entrypointResources=TEXT,
        entrypointNumCpus={"type": "number"},
        entrypointNumGpus={"type": "number"},
        ttlSecondsAfterFinished=COUNT,
        shutdownAfterJobFinishes=FLAG,
        suspend=FLAG,
    ),
)


@pytest.mark.parametrize("name", ["own_machines.yaml", "aws.yaml"])
def test_a_cluster_file_passes_rays_schema(name):
    import ray

    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    config = yaml.safe_load((RECIPES / name).read_text())
    jsonschema.validate(config, schema)
    assert not (set(config) - set(schema["properties"]))


def test_the_autoscaler_reads_its_node_types():
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(yaml.safe_load((RECIPES / "aws.yaml").read_text()))
    validate_config(config)
    types = config["available_node_types"]
    assert config["head_node_type"] in types
    assert max(kind.get("max_workers", 0) for kind in types.values()) <= config["max_workers"]


@pytest.fixture
def kubernetes():
    """kind -> manifest."""
    return {part["kind"]: part for part in yaml.safe_load_all((RECIPES / "rayjob.yaml").read_text())}


def test_the_ray_job_has_fields_of_kuberay_only(kubernetes):
    jsonschema.validate(kubernetes["RayJob"], JOB)


def test_the_ray_job_mounts_what_the_manifest_makes(kubernetes):
    head = kubernetes["RayJob"]["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in head["volumes"]}
    assert (
        volumes["store"]["persistentVolumeClaim"]["claimName"]
        == kubernetes["PersistentVolumeClaim"]["metadata"]["name"]
    )
    assert volumes["sweep"]["configMap"]["name"] == kubernetes["ConfigMap"]["metadata"]["name"]
    mounts = {mount["name"]: mount["mountPath"] for mount in head["containers"][0]["volumeMounts"]}
    assert set(mounts) == set(volumes)
    (file,) = kubernetes["ConfigMap"]["data"]
    assert kubernetes["RayJob"]["spec"]["entrypoint"].split()[2] == f"{mounts['sweep']}/{file}"
    plan = read_plan(tomllib.loads(kubernetes["ConfigMap"]["data"][file]))
    assert len(plan.studies) == (1 + 16) * 3
    assert Path(plan.store).parent == Path(mounts["store"])


def test_all_recipes_name_one_version_of_ray_and_one_image():
    texts = {path.name: path.read_text() for path in RECIPES.iterdir()}
    versions = re.findall(r"(?:ray:|==|rayVersion: \")(\d+\.\d+\.\d+)", "".join(texts.values()))
    assert len(versions) >= 4
    assert len(set(versions)) == 1
    images = re.findall(r"image: (\S+)", texts["rayjob.yaml"] + texts["aws.yaml"])
    assert len(set(images)) == 1
    assert f"-t {images[0]} " in texts["Dockerfile"]
