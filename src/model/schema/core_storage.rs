//! Network and cloud storage, most of it deprecated but still accepted.

use super::Shape::{Bool, Int32, List, Map, Object, String};
use super::Type;
use super::build::{opt, ptr, req};
use super::values::DISK_CACHING;

pub(super) static TYPES: &[Type] = &[
    core!("GCEPersistentDiskVolumeSource" => "GCEPersistentDiskVolumeSource is a GCE disk. Deprecated.", [
        req(1, "pdName", String, "Name of the disk."),
        opt(2, "fsType", String, "File system type of the volume, for instance ext4."),
        opt(3, "partition", Int32, "Partition number; 0 for the whole device."),
        opt(4, "readOnly", Bool, "Mounts the volume read-only."),
    ]),
    core!("AWSElasticBlockStoreVolumeSource" => "AWSElasticBlockStoreVolumeSource is an AWS disk. Deprecated.", [
        req(1, "volumeID", String, "Id of the volume."),
        opt(2, "fsType", String, "File system type of the volume, for instance ext4."),
        opt(3, "partition", Int32, "Partition number; 0 for the whole device."),
        opt(4, "readOnly", Bool, "Mounts the volume read-only."),
    ]),
    core!("GitRepoVolumeSource" => "GitRepoVolumeSource is a Git repository. Deprecated.", [
        req(1, "repository", String, "URL."),
        opt(2, "revision", String, "Commit."),
        opt(3, "directory", String, "Target directory."),
    ]),
    core!("NFSVolumeSource" => "NFSVolumeSource is an NFS export.", [
        req(1, "server", String, "Server name or address."),
        req(2, "path", String, "Path."),
        opt(3, "readOnly", Bool, "Mounts the volume read-only."),
    ]),
    core!("ISCSIVolumeSource" => "ISCSIVolumeSource is an iSCSI device.", [
        req(1, "targetPortal", String, "Portal of the target."),
        req(2, "iqn", String, "Qualified name of the target."),
        req(3, "lun", Int32, "Logical unit number."),
        opt(4, "iscsiInterface", String, "Interface name.").default("default"),
        opt(5, "fsType", String, "File system type of the volume, for instance ext4."),
        opt(6, "readOnly", Bool, "Mounts the volume read-only."),
        opt(7, "portals", List(&String), "Further portals.").atomic(),
        opt(8, "chapAuthDiscovery", Bool, "CHAP for discovery."),
        opt(11, "chapAuthSession", Bool, "CHAP for the session."),
        ptr(10, "secretRef", Object("LocalObjectReference"), "Secret with the credentials."),
        ptr(12, "initiatorName", String, "Name of the initiator."),
    ]),
    core!("GlusterfsVolumeSource" => "GlusterfsVolumeSource is a GlusterFS volume. Deprecated.", [
        req(1, "endpoints", String, "Endpoints object with the servers."),
        req(2, "path", String, "Path."),
        opt(3, "readOnly", Bool, "Mounts the volume read-only."),
    ]),
    core!("RBDVolumeSource" => "RBDVolumeSource is a Ceph block device. Deprecated.", [
        req(1, "monitors", List(&String), "Addresses of the monitors.").atomic(),
        req(2, "image", String, "Image name."),
        opt(3, "fsType", String, "File system type of the volume, for instance ext4."),
        opt(4, "pool", String, "Pool.").default("rbd"),
        opt(5, "user", String, "User name.").default("admin"),
        opt(6, "keyring", String, "Keyring file.").default("/etc/ceph/keyring"),
        ptr(7, "secretRef", Object("LocalObjectReference"), "Secret with the credentials."),
        opt(8, "readOnly", Bool, "Mounts the volume read-only."),
    ]),
    core!("FlexVolumeSource" => "FlexVolumeSource is a volume of a FlexVolume plugin. Deprecated.", [
        req(1, "driver", String, "Name of the driver."),
        opt(2, "fsType", String, "File system type of the volume, for instance ext4."),
        ptr(3, "secretRef", Object("LocalObjectReference"), "Secret with the credentials."),
        opt(4, "readOnly", Bool, "Mounts the volume read-only."),
        opt(5, "options", Map(&String), "Options for the plugin."),
    ]),
    core!("CinderVolumeSource" => "CinderVolumeSource is an OpenStack volume. Deprecated.", [
        req(1, "volumeID", String, "Id of the volume."),
        opt(2, "fsType", String, "File system type of the volume, for instance ext4."),
        opt(3, "readOnly", Bool, "Mounts the volume read-only."),
        ptr(4, "secretRef", Object("LocalObjectReference"), "Secret with the credentials."),
    ]),
    core!("CephFSVolumeSource" => "CephFSVolumeSource is a Ceph file system. Deprecated.", [
        req(1, "monitors", List(&String), "Addresses of the monitors.").atomic(),
        opt(2, "path", String, "Path."),
        opt(3, "user", String, "User name."),
        opt(4, "secretFile", String, "File with the key."),
        ptr(5, "secretRef", Object("LocalObjectReference"), "Secret with the credentials."),
        opt(6, "readOnly", Bool, "Mounts the volume read-only."),
    ]),
    core!("FlockerVolumeSource" => "FlockerVolumeSource is a Flocker volume. Deprecated.", [
        opt(1, "datasetName", String, "Name of the dataset."),
        opt(2, "datasetUUID", String, "Id of the dataset."),
    ]),
    core!("FCVolumeSource" => "FCVolumeSource is a Fibre Channel device.", [
        opt(1, "targetWWNs", List(&String), "World wide names of the targets.").atomic(),
        ptr(2, "lun", Int32, "Logical unit number."),
        opt(3, "fsType", String, "File system type of the volume, for instance ext4."),
        opt(4, "readOnly", Bool, "Mounts the volume read-only."),
        opt(5, "wwids", List(&String), "World wide ids of the volume.").atomic(),
    ]),
    core!("AzureFileVolumeSource" => "AzureFileVolumeSource is an Azure file share. Deprecated.", [
        req(1, "secretName", String, "Name of the Secret."),
        req(2, "shareName", String, "Name of the share."),
        opt(3, "readOnly", Bool, "Mounts the volume read-only."),
    ]),
    core!("VsphereVirtualDiskVolumeSource" => "VsphereVirtualDiskVolumeSource is a vSphere disk. Deprecated.", [
        req(1, "volumePath", String, "Path of the disk."),
        opt(2, "fsType", String, "File system type of the volume, for instance ext4."),
        opt(3, "storagePolicyName", String, "Storage policy."),
        opt(4, "storagePolicyID", String, "Id of the storage policy."),
    ]),
    core!("QuobyteVolumeSource" => "QuobyteVolumeSource is a Quobyte volume. Deprecated.", [
        req(1, "registry", String, "Addresses of the registry."),
        req(2, "volume", String, "Name of the volume."),
        opt(3, "readOnly", Bool, "Mounts the volume read-only."),
        opt(4, "user", String, "User name."),
        opt(5, "group", String, "Group name."),
        opt(6, "tenant", String, "Tenant."),
    ]),
    core!("AzureDiskVolumeSource" => "AzureDiskVolumeSource is an Azure disk. Deprecated.", [
        req(1, "diskName", String, "Name of the disk."),
        req(2, "diskURI", String, "URI of the disk."),
        ptr(3, "cachingMode", String, "None, ReadOnly or ReadWrite.").one_of(DISK_CACHING).default("ReadWrite"),
        ptr(4, "fsType", String, "File system type of the volume, for instance ext4.").default("ext4"),
        ptr(5, "readOnly", Bool, "Mounts the volume read-only.").default("false"),
        ptr(6, "kind", String, "Shared, Dedicated or Managed.").one_of(&["Dedicated", "Managed", "Shared"]).default("Shared"),
    ]),
    core!("PhotonPersistentDiskVolumeSource" => "PhotonPersistentDiskVolumeSource is a Photon disk. Deprecated.", [
        req(1, "pdID", String, "Id of the disk."),
        opt(2, "fsType", String, "File system type of the volume, for instance ext4."),
    ]),
    core!("PortworxVolumeSource" => "PortworxVolumeSource is a Portworx volume. Deprecated.", [
        req(1, "volumeID", String, "Id of the volume."),
        opt(2, "fsType", String, "File system type of the volume, for instance ext4."),
        opt(3, "readOnly", Bool, "Mounts the volume read-only."),
    ]),
    core!("ScaleIOVolumeSource" => "ScaleIOVolumeSource is a ScaleIO volume. Deprecated.", [
        req(1, "gateway", String, "Address of the gateway."),
        req(2, "system", String, "Name of the system."),
        ptr(3, "secretRef", Object("LocalObjectReference"), "Secret with the credentials.").required(),
        opt(4, "sslEnabled", Bool, "Use TLS."),
        opt(5, "protectionDomain", String, "Protection domain."),
        opt(6, "storagePool", String, "Storage pool."),
        opt(7, "storageMode", String, "ThickProvisioned or ThinProvisioned.").default("ThinProvisioned"),
        opt(8, "volumeName", String, "Name of the volume."),
        opt(9, "fsType", String, "File system type of the volume, for instance ext4.").default("xfs"),
        opt(10, "readOnly", Bool, "Mounts the volume read-only."),
    ]),
    core!("StorageOSVolumeSource" => "StorageOSVolumeSource is a StorageOS volume. Deprecated.", [
        opt(1, "volumeName", String, "Name of the volume."),
        opt(2, "volumeNamespace", String, "Namespace of the volume."),
        opt(3, "fsType", String, "File system type of the volume, for instance ext4."),
        opt(4, "readOnly", Bool, "Mounts the volume read-only."),
        ptr(5, "secretRef", Object("LocalObjectReference"), "Secret with the credentials."),
    ]),
];
