"""The container runtime interface, as a kubelet speaks it: gRPC to containerd's socket.

The messages are those of runtime.v1 (k8s.io/cri-api), as far as the tests need them.  In MESSAGES a line is a message, and a
word a field: its name, its type, and its number.  "*" is for any number of them, "map" for a map of strings.  Enumerations are numbers.
"""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from integration.engines import documented, network
from integration.engines import image as images
from integration.engines.containerd import SYSTEMD, Containerd
from integration.harness.runtime import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.engines.place import Place

PACKAGE = "runtime.v1"
MESSAGES = """
VersionRequest version:string:1
VersionResponse version:string:1 runtime_name:string:2 runtime_version:string:3 runtime_api_version:string:4
StatusRequest verbose:bool:1
StatusResponse status:RuntimeStatus:1 info:map:2
RuntimeStatus conditions:RuntimeCondition*:1
RuntimeCondition type:string:1 status:bool:2 reason:string:3 message:string:4

RunPodSandboxRequest config:PodSandboxConfig:1 runtime_handler:string:2
RunPodSandboxResponse pod_sandbox_id:string:1
StopPodSandboxRequest pod_sandbox_id:string:1
StopPodSandboxResponse
RemovePodSandboxRequest pod_sandbox_id:string:1
RemovePodSandboxResponse
PodSandboxStatusRequest pod_sandbox_id:string:1 verbose:bool:2
PodSandboxStatusResponse status:PodSandboxStatus:1 info:map:2
PodSandboxStatus id:string:1 metadata:PodSandboxMetadata:2 state:int32:3 created_at:int64:4 network:PodSandboxNetworkStatus:5 labels:map:7 annotations:map:8 runtime_handler:string:9
PodSandboxNetworkStatus ip:string:1
ListPodSandboxRequest filter:PodSandboxFilter:1
PodSandboxFilter id:string:1 state:State:2 label_selector:map:3
State state:int32:1
ListPodSandboxResponse items:PodSandbox*:1
PodSandbox id:string:1 metadata:PodSandboxMetadata:2 state:int32:3 labels:map:5 runtime_handler:string:7

PodSandboxConfig metadata:PodSandboxMetadata:1 hostname:string:2 log_directory:string:3 dns_config:DNSConfig:4 labels:map:6 annotations:map:7 linux:LinuxPodSandboxConfig:8
PodSandboxMetadata name:string:1 uid:string:2 namespace:string:3 attempt:uint32:4
DNSConfig servers:string*:1 searches:string*:2 options:string*:3
LinuxPodSandboxConfig cgroup_parent:string:1 security_context:LinuxSandboxSecurityContext:2 sysctls:map:3
LinuxSandboxSecurityContext namespace_options:NamespaceOption:1 run_as_user:Int64Value:3 readonly_rootfs:bool:4 privileged:bool:6 seccomp:SecurityProfile:9
NamespaceOption network:int32:1 pid:int32:2 ipc:int32:3 target_id:string:4
SecurityProfile profile_type:int32:1 localhost_ref:string:2
Int64Value value:int64:1
UInt64Value value:uint64:1

CreateContainerRequest pod_sandbox_id:string:1 config:ContainerConfig:2 sandbox_config:PodSandboxConfig:3
CreateContainerResponse container_id:string:1
ContainerConfig metadata:ContainerMetadata:1 image:ImageSpec:2 command:string*:3 args:string*:4 working_dir:string:5 envs:KeyValue*:6 mounts:Mount*:7 devices:Device*:8 labels:map:9 annotations:map:10 log_path:string:11 stdin:bool:12 stdin_once:bool:13 tty:bool:14 linux:LinuxContainerConfig:15
ContainerMetadata name:string:1 attempt:uint32:2
ImageSpec image:string:1
KeyValue key:string:1 value:string:2
Mount container_path:string:1 host_path:string:2 readonly:bool:3 propagation:int32:5
Device container_path:string:1 host_path:string:2 permissions:string:3
LinuxContainerConfig resources:LinuxContainerResources:1 security_context:LinuxContainerSecurityContext:2
LinuxContainerResources cpu_period:int64:1 cpu_quota:int64:2 cpu_shares:int64:3 memory_limit_in_bytes:int64:4 oom_score_adj:int64:5 cpuset_cpus:string:6 cpuset_mems:string:7 hugepage_limits:HugepageLimit*:8 unified:map:9 memory_swap_limit_in_bytes:int64:10
HugepageLimit page_size:string:1 limit:uint64:2
LinuxContainerSecurityContext capabilities:Capability:1 privileged:bool:2 namespace_options:NamespaceOption:3 run_as_user:Int64Value:5 run_as_group:Int64Value:12 run_as_username:string:6 readonly_rootfs:bool:7 supplemental_groups:int64*:8 no_new_privs:bool:11 masked_paths:string*:13 readonly_paths:string*:14 seccomp:SecurityProfile:15 apparmor:SecurityProfile:16
Capability add_capabilities:string*:1 drop_capabilities:string*:2

StartContainerRequest container_id:string:1
StartContainerResponse
StopContainerRequest container_id:string:1 timeout:int64:2
StopContainerResponse
RemoveContainerRequest container_id:string:1
RemoveContainerResponse
ListContainersRequest filter:ContainerFilter:1
ContainerFilter id:string:1 state:State:2 pod_sandbox_id:string:3 label_selector:map:4
ListContainersResponse containers:Container*:1
Container id:string:1 pod_sandbox_id:string:2 metadata:ContainerMetadata:3 state:int32:6 labels:map:8
ContainerStatusRequest container_id:string:1 verbose:bool:2
ContainerStatusResponse status:ContainerStatus:1 info:map:2
ContainerStatus id:string:1 metadata:ContainerMetadata:2 state:int32:3 created_at:int64:4 started_at:int64:5 finished_at:int64:6 exit_code:int32:7 reason:string:10 message:string:11 log_path:string:15
UpdateContainerResourcesRequest container_id:string:1 linux:LinuxContainerResources:2
UpdateContainerResourcesResponse
ReopenContainerLogRequest container_id:string:1
ReopenContainerLogResponse
ExecSyncRequest container_id:string:1 cmd:string*:2 timeout:int64:3
ExecSyncResponse stdout:bytes:1 stderr:bytes:2 exit_code:int32:3
ContainerStatsRequest container_id:string:1
ContainerStatsResponse stats:ContainerStats:1
ContainerStats attributes:ContainerAttributes:1 cpu:CpuUsage:2 memory:MemoryUsage:3 writable_layer:FilesystemUsage:4
ContainerAttributes id:string:1 metadata:ContainerMetadata:2 labels:map:3 annotations:map:4
ListContainerStatsRequest filter:ContainerStatsFilter:1
ContainerStatsFilter id:string:1 pod_sandbox_id:string:2 label_selector:map:3
ListContainerStatsResponse stats:ContainerStats*:1
PodSandboxStatsRequest pod_sandbox_id:string:1
PodSandboxStatsResponse stats:PodSandboxStats:1
PodSandboxStats attributes:PodSandboxAttributes:1 linux:LinuxPodSandboxStats:2
PodSandboxAttributes id:string:1 metadata:PodSandboxMetadata:2 labels:map:3 annotations:map:4
LinuxPodSandboxStats cpu:CpuUsage:1 memory:MemoryUsage:2 network:NetworkUsage:3 process:ProcessUsage:4 containers:ContainerStats*:5
NetworkUsage timestamp:int64:1 default_interface:NetworkInterfaceUsage:2
NetworkInterfaceUsage name:string:1 rx_bytes:UInt64Value:2 tx_bytes:UInt64Value:4
ProcessUsage timestamp:int64:1 process_count:UInt64Value:2
ListPodSandboxStatsRequest filter:PodSandboxStatsFilter:1
PodSandboxStatsFilter id:string:1 label_selector:map:2
ListPodSandboxStatsResponse stats:PodSandboxStats*:1
CpuUsage timestamp:int64:1 usage_core_nano_seconds:UInt64Value:2
MemoryUsage timestamp:int64:1 working_set_bytes:UInt64Value:2 usage_bytes:UInt64Value:4
FilesystemUsage timestamp:int64:1 used_bytes:UInt64Value:3 inodes_used:UInt64Value:4

ExecRequest container_id:string:1 cmd:string*:2 tty:bool:3 stdin:bool:4 stdout:bool:5 stderr:bool:6
ExecResponse url:string:1
AttachRequest container_id:string:1 stdin:bool:2 tty:bool:3 stdout:bool:4 stderr:bool:5
AttachResponse url:string:1
PortForwardRequest pod_sandbox_id:string:1 port:int32*:2
PortForwardResponse url:string:1
"""
POD, CONTAINER, NODE, TARGET = range(4)  # of namespaces
PRIVATE, HOST_TO_CONTAINER, BIDIRECTIONAL = range(3)  # of mounts
RUNTIME_DEFAULT, UNCONFINED, LOCALHOST = range(3)  # of seccomp
CREATED, RUNNING, EXITED = range(3)  # of containers
READY, NOT_READY = range(2)  # of pods
SECTION = "containerd (CRI) and Kubernetes"  # of the documentation, which has the table of the runtime
HANDLER = "pyrunc"
CONFIG = """
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
disable_hugetlb_controller = false
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{networks}"
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "{handler}"
"""
_NUMBERS = itertools.count()


def _types() -> dict[str, Any]:
    """Return the classes of MESSAGES by their names."""
    file = descriptor_pb2.FileDescriptorProto(name="cri.proto", package=PACKAGE, syntax="proto3")
    for line in MESSAGES.split("\n"):
        if line:
            name, *fields = line.split()
            message = file.message_type.add(name=name)
            for field in fields:
                _add(message, *field.split(":"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = (pool.FindMessageTypeByName(f"{PACKAGE}.{message.name}") for message in file.message_type)
    return {descriptor.name: message_factory.GetMessageClass(descriptor) for descriptor in found}


def _add(message: Any, name: str, kind: str, number: str) -> None:
    """Add a field to a MESSAGE's description."""
    words = descriptor_pb2.FieldDescriptorProto
    field = message.field.add(name=name, number=int(number), label=words.LABEL_OPTIONAL)
    if kind == "map":  # on the wire: any number of messages with a key and a value
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _add(entry, "key", "string", "1")
        _add(entry, "value", "string", "2")
        kind = f"{message.name}.{entry.name}*"
    if kind.endswith("*"):
        field.label, kind = words.LABEL_REPEATED, kind[:-1]
    if kind[0].islower():
        field.type = getattr(words, f"TYPE_{kind.upper()}")
    else:
        field.type, field.type_name = words.TYPE_MESSAGE, f".{PACKAGE}.{kind}"


class Cri:
    """Calls of the runtime service at a SOCKET."""

    types = _types()

    def __init__(self, socket: Path, seconds: int) -> None:
        """Connect; a call takes SECONDS at most."""
        self.channel, self.seconds = grpc.insecure_channel(f"unix:{socket}"), seconds

    def __call__(self, method: str, **fields: Any) -> Any:
        """Call METHOD with the FIELDS of its request, and return its response; raises grpc.RpcError with what it says."""
        request, response = self.types[f"{method}Request"], self.types[f"{method}Response"]
        call = self.channel.unary_unary(
            f"/{PACKAGE}.RuntimeService/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return call(request(**fields), timeout=self.seconds)


def with_cri(place: Place, binary: str) -> Containerd:
    """Start containerd with the interface and with BINARY as its only runtime."""
    networks = place.directory / "net.d"
    networks.mkdir()
    (networks / "10-pods.conflist").write_text(network.configuration(place.directory / "addresses"))

    def config(made: Containerd) -> str:
        options = documented.blocks(SECTION)[0].replace(documented.PATH, str(made.binary))
        if not SYSTEMD:
            options = options.replace("SystemdCgroup = true", "SystemdCgroup = false")
        mine = CONFIG.format(plugins=network.PLUGINS, pause=images.PAUSE, networks=networks, handler=HANDLER)
        return f'{mine}{options}Root = "{made.runtime_root}"\n'

    return Containerd(place, binary, config, namespace="k8s.io")


def refused(call: Callable[..., object], *arguments: Any, **options: Any) -> str:
    """Return what is said by a CALL that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **options)
    return str(caught.value.details())


class Pods:
    """Pods of one test, which end with it; FILES is for logs and volumes."""

    def __init__(self, cri: Cri, files: Path, containerd: Containerd | None = None, handler: str = HANDLER) -> None:
        """Have none yet; they are made by the runtime that CRI's containerd knows as HANDLER, and CONTAINERD is asked what is left of them."""
        self.containerd, self.cri, self.files, self.handler = containerd, cri, files, handler
        self.configs: dict[str, dict[str, Any]] = {}
        number = f"{os.getpid()}n{next(_NUMBERS)}"
        # Where a kubelet would put the cgroups of this pod.
        self.cgroup = f"/pyrunctest{number}.slice" if SYSTEMD else f"/pyrunctest{number}"

    def pod(self, *, linux: dict[str, Any] | None = None, security: dict[str, Any] | None = None, **more: Any) -> str:
        """Run a pod and return its id."""
        number = next(_NUMBERS)
        config = {
            "metadata": {"name": f"pod{number}", "uid": f"uid{number}", "namespace": "tests"},
            "log_directory": str(self.files),
            "hostname": f"host{number}",
            "linux": {"cgroup_parent": self.cgroup, "security_context": security or {}, **(linux or {})},
            **more,
        }
        pod = self.cri("RunPodSandbox", config=config, runtime_handler=self.handler).pod_sandbox_id
        self.configs[pod] = config
        return str(pod)

    def create(
        self,
        pod: str,
        do: str | list[str] = "exec sleep 1000",
        *,
        security: dict[str, Any] | None = None,
        resources: dict[str, Any] | None = None,
        **more: Any,
    ) -> str:
        """Create a container in POD that does DO, a line for the shell or a command, and return its id."""
        number = next(_NUMBERS)
        config = {
            "metadata": {"name": f"container{number}"},
            "image": {"image": images.NAME},
            "command": do if isinstance(do, list) else ["sh", "-c", do],
            "log_path": f"{number}.log",
            "linux": {"security_context": security or {}, "resources": resources or {}},
            **more,
        }
        made = self.cri("CreateContainer", pod_sandbox_id=pod, config=config, sandbox_config=self.configs[pod])
        return str(made.container_id)

    def start(self, pod: str, *do: str | list[str], **options: Any) -> str:
        """Create and start a container, and return its id."""
        container = self.create(pod, *do, **options)
        self.cri("StartContainer", container_id=container)
        return container

    def status(self, container: str) -> Any:
        """Return the status of CONTAINER."""
        return self.cri("ContainerStatus", container_id=container).status

    def ended(self, container: str) -> Any:
        """Wait until CONTAINER has ended, and return its status."""
        wait_for(lambda: self.status(container).state == EXITED, lambda: self.status(container), what="the end")
        return self.status(container)

    def pid(self, container: str) -> int:
        """Return the pid of CONTAINER's init."""
        info = self.cri("ContainerStatus", container_id=container, verbose=True).info["info"]
        return int(json.loads(info)["pid"])

    def pause(self, pod: str) -> int:
        """Return the pid of the process that holds POD's namespaces."""
        info = self.cri("PodSandboxStatus", pod_sandbox_id=pod, verbose=True).info["info"]
        return int(json.loads(info)["pid"])

    def exec(self, container: str, do: str | list[str], timeout: int = 0) -> Any:
        """Run a line for the shell, or a command, in CONTAINER, and return what came of it."""
        words = do if isinstance(do, list) else ["sh", "-c", do]
        return self.cri("ExecSync", container_id=container, cmd=words, timeout=timeout)

    def says(self, container: str, do: str | list[str]) -> str:
        """Run something in CONTAINER that must succeed, and return what it wrote."""
        done = self.exec(container, do)
        assert (done.exit_code, done.stderr) == (0, b""), done
        return str(done.stdout.decode())

    def log(self, container: str) -> list[tuple[str, str]]:
        """Return the lines that CONTAINER wrote, each with the name of its stream."""
        path = Path(self.status(container).log_path)
        rows = [line.split(" ", 3) for line in path.read_text().splitlines()]
        return [(stream, text) for _, stream, _, text in rows]

    def ran(self, pod: str, do: str | list[str], **options: Any) -> str:
        """Run a container to its end, which must be good, and return what it wrote to its standard output."""
        container = self.start(pod, do, **options)
        status = self.ended(container)
        assert status.exit_code == 0, (status, self.log(container))
        return "".join(f"{text}\n" for stream, text in self.log(container) if stream == "stdout")

    def end(self) -> None:
        """Remove all pods of the test, with the containers in them."""
        while self.configs:
            pod, _ = self.configs.popitem()
            self.cri("StopPodSandbox", pod_sandbox_id=pod)
            self.cri("RemovePodSandbox", pod_sandbox_id=pod)

    def remove(self) -> None:
        """Remove all pods of the test, and check that nothing stays of them."""
        self.end()
        assert self.containerd
        left = self.containerd.left
        wait_for(lambda: not left(), left, what="pods to be gone")
        if SYSTEMD:
            self.containerd.place.run("systemctl", "stop", Path(self.cgroup).name)  # as a kubelet does
        self.containerd.empty(Path(self.cgroup).name)
