//! The state of a pod's containers.

use super::Shape::{Bool, Int32, Int64, List, Map, Object, Quantity, String, Time};
use super::Type;
use super::build::{opt, own, ptr, req};
use super::values::SIGNALS;

pub(super) static TYPES: &[Type] = &[
    core!("ContainerStatus" => "ContainerStatus is the state of one container.", [
        req(1, "name", String, "Name."),
        own(2, "state", Object("ContainerState"), "State now."),
        own(3, "lastState", Object("ContainerState"), "State before the last restart."),
        req(4, "ready", Bool, "Whether the readiness probe passes."),
        req(5, "restartCount", Int32, "Number of restarts."),
        req(6, "image", String, "Image name."),
        req(7, "imageID", String, "Id of the image."),
        opt(8, "containerID", String, "Id of the container."),
        ptr(9, "started", Bool, "Whether the startup probe has passed."),
        opt(10, "allocatedResources", Map(&Quantity), "Resources the node set aside."),
        ptr(11, "resources", Object("ResourceRequirements"), "Compute resources."),
        opt(12, "volumeMounts", List(&Object("VolumeMountStatus")), "State of each mount.").merge("mountPath").keys(&["mountPath"]),
        ptr(13, "user", Object("ContainerUser"), "User the container runs as."),
        opt(14, "allocatedResourcesStatus", List(&Object("ResourceStatus")), "Health of devices.").merge("name").keys(&["name"]),
        ptr(15, "stopSignal", String, "Signal that stops the container.").one_of(SIGNALS),
    ]),
    core!("ContainerState" => "ContainerState is one of waiting, running, terminated.", [
        ptr(1, "waiting", Object("ContainerStateWaiting"), "It waits to start."),
        ptr(2, "running", Object("ContainerStateRunning"), "It runs."),
        ptr(3, "terminated", Object("ContainerStateTerminated"), "It has ended."),
    ]),
    core!("ContainerStateWaiting" => "ContainerStateWaiting is a container that waits to start.", [
        opt(1, "reason", String, "One-word reason for programs."),
        opt(2, "message", String, "Explanation for people."),
    ]),
    core!("ContainerStateRunning" => "ContainerStateRunning is a container that runs.", [
        own(1, "startedAt", Time, "When it started."),
    ]),
    core!("ContainerStateTerminated" => "ContainerStateTerminated is a container that has ended.", [
        req(1, "exitCode", Int32, "Exit code."),
        opt(2, "signal", Int32, "Signal that ended it."),
        opt(3, "reason", String, "One-word reason for programs."),
        opt(4, "message", String, "Explanation for people."),
        own(5, "startedAt", Time, "When it started."),
        own(6, "finishedAt", Time, "When it ended."),
        opt(7, "containerID", String, "Id of the container."),
    ]),
    core!("VolumeMountStatus" => "VolumeMountStatus is the state of one mount.", [
        req(1, "name", String, "Name."),
        req(2, "mountPath", String, "Path in the container."),
        opt(3, "readOnly", Bool, "Mounts the volume read-only."),
        ptr(4, "recursiveReadOnly", String, "Disabled, IfPossible or Enabled."),
        ptr(5, "volumeStatus", Object("VolumeStatus"), "State of the volume."),
    ]),
    core!("VolumeStatus" => "VolumeStatus is the state of a volume.", [
        ptr(1, "image", Object("ImageVolumeStatus"), "State of an image volume."),
    ]),
    core!("ImageVolumeStatus" => "ImageVolumeStatus is the state of an image volume.", [
        opt(1, "imageRef", String, "Digest of the image.").required(),
    ]),
    core!("ContainerUser" => "ContainerUser is the user a container runs as.", [
        ptr(1, "linux", Object("LinuxContainerUser"), "User and groups on Linux."),
    ]),
    core!("LinuxContainerUser" => "LinuxContainerUser holds user and groups on Linux.", [
        req(1, "uid", Int64, "User id."),
        req(2, "gid", Int64, "Group id."),
        opt(3, "supplementalGroups", List(&Int64), "Further group ids.").atomic(),
    ]),
    core!("ResourceStatus" => "ResourceStatus is the health of one resource.", [
        req(1, "name", String, "Name."),
        opt(2, "resources", List(&Object("ResourceHealth")), "Health of each device.").keys(&["resourceID"]),
    ]),
    core!("ResourceHealth" => "ResourceHealth is the health of one device.", [
        req(1, "resourceID", String, "Id of the device."),
        opt(2, "health", String, "Healthy, Unhealthy or Unknown."),
        ptr(6, "message", String, "Explanation for people."),
    ]),
];
