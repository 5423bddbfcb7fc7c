//! Volumes of pods.

use super::Shape::{Bool, Int32, Int64, List, Map, Object, Quantity, String};
use super::Type;
use super::build::{inl, opt, own, ptr, req};
use super::values::PULL_POLICIES;

pub(super) static TYPES: &[Type] = &[
    core!("Volume" => "Volume is a volume of a pod.", [
        req(1, "name", String, "Name, unique in the pod."),
        inl(2, "volumeSource", "VolumeSource"),
    ]),
    core!("VolumeSource" => "VolumeSource is where a volume comes from; one member is set.", [
        ptr(1, "hostPath", Object("HostPathVolumeSource"), "Path on the node."),
        ptr(2, "emptyDir", Object("EmptyDirVolumeSource"), "Empty directory that lives as long as the pod."),
        ptr(3, "gcePersistentDisk", Object("GCEPersistentDiskVolumeSource"), "GCE disk. Deprecated."),
        ptr(4, "awsElasticBlockStore", Object("AWSElasticBlockStoreVolumeSource"), "AWS disk. Deprecated."),
        ptr(5, "gitRepo", Object("GitRepoVolumeSource"), "Git repository. Deprecated."),
        ptr(6, "secret", Object("SecretVolumeSource"), "Keys of a Secret as files."),
        ptr(7, "nfs", Object("NFSVolumeSource"), "NFS export."),
        ptr(8, "iscsi", Object("ISCSIVolumeSource"), "iSCSI device."),
        ptr(9, "glusterfs", Object("GlusterfsVolumeSource"), "GlusterFS volume. Deprecated."),
        ptr(10, "persistentVolumeClaim", Object("PersistentVolumeClaimVolumeSource"), "PersistentVolumeClaim."),
        ptr(11, "rbd", Object("RBDVolumeSource"), "Ceph block device. Deprecated."),
        ptr(12, "flexVolume", Object("FlexVolumeSource"), "FlexVolume plugin. Deprecated."),
        ptr(13, "cinder", Object("CinderVolumeSource"), "OpenStack volume. Deprecated."),
        ptr(14, "cephfs", Object("CephFSVolumeSource"), "Ceph file system. Deprecated."),
        ptr(15, "flocker", Object("FlockerVolumeSource"), "Flocker volume. Deprecated."),
        ptr(16, "downwardAPI", Object("DownwardAPIVolumeSource"), "Fields of the pod as files."),
        ptr(17, "fc", Object("FCVolumeSource"), "Fibre Channel device."),
        ptr(18, "azureFile", Object("AzureFileVolumeSource"), "Azure file share. Deprecated."),
        ptr(19, "configMap", Object("ConfigMapVolumeSource"), "Keys of a ConfigMap as files."),
        ptr(20, "vsphereVolume", Object("VsphereVirtualDiskVolumeSource"), "vSphere disk. Deprecated."),
        ptr(21, "quobyte", Object("QuobyteVolumeSource"), "Quobyte volume. Deprecated."),
        ptr(22, "azureDisk", Object("AzureDiskVolumeSource"), "Azure disk. Deprecated."),
        ptr(23, "photonPersistentDisk", Object("PhotonPersistentDiskVolumeSource"), "Photon disk. Deprecated."),
        ptr(26, "projected", Object("ProjectedVolumeSource"), "Several sources in one directory."),
        ptr(24, "portworxVolume", Object("PortworxVolumeSource"), "Portworx volume. Deprecated."),
        ptr(25, "scaleIO", Object("ScaleIOVolumeSource"), "ScaleIO volume. Deprecated."),
        ptr(27, "storageos", Object("StorageOSVolumeSource"), "StorageOS volume. Deprecated."),
        ptr(28, "csi", Object("CSIVolumeSource"), "Inline volume of a CSI driver."),
        ptr(29, "ephemeral", Object("EphemeralVolumeSource"), "Claim made with the pod."),
        ptr(30, "image", Object("ImageVolumeSource"), "Content of an image."),
    ]),
    core!("HostPathVolumeSource" => "HostPathVolumeSource is a path on the node.", [
        req(1, "path", String, "Path."),
        ptr(2, "type", String, "What the path must be; unchecked when empty.").one_of(&["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"]),
    ]),
    core!("EmptyDirVolumeSource" => "EmptyDirVolumeSource is an empty directory.", [
        opt(1, "medium", String, "Memory for tmpfs; the node's disk when empty."),
        ptr(2, "sizeLimit", Quantity, "Most it may hold."),
    ]),
    core!("SecretVolumeSource" => "SecretVolumeSource is a Secret as files.", [
        opt(1, "secretName", String, "Name of the Secret."),
        opt(2, "items", List(&Object("KeyToPath")), "Keys to project; all when empty.").atomic(),
        ptr(3, "defaultMode", Int32, "Permission bits of files that set none."),
        ptr(4, "optional", Bool, "Whether the source may be missing."),
    ]),
    core!("ConfigMapVolumeSource" => "ConfigMapVolumeSource is a ConfigMap as files.", [
        inl(1, "localObjectReference", "LocalObjectReference"),
        opt(2, "items", List(&Object("KeyToPath")), "Keys to project; all when empty.").atomic(),
        ptr(3, "defaultMode", Int32, "Permission bits of files that set none."),
        ptr(4, "optional", Bool, "Whether the source may be missing."),
    ]),
    core!("SecretProjection" => "SecretProjection projects a Secret.", [
        inl(1, "localObjectReference", "LocalObjectReference"),
        opt(2, "items", List(&Object("KeyToPath")), "Keys to project; all when empty.").atomic(),
        ptr(4, "optional", Bool, "Whether the source may be missing."),
    ]),
    core!("ConfigMapProjection" => "ConfigMapProjection projects a ConfigMap.", [
        inl(1, "localObjectReference", "LocalObjectReference"),
        opt(2, "items", List(&Object("KeyToPath")), "Keys to project; all when empty.").atomic(),
        ptr(4, "optional", Bool, "Whether the source may be missing."),
    ]),
    core!("KeyToPath" => "KeyToPath puts a key into a file.", [
        req(1, "key", String, "Key."),
        req(2, "path", String, "Path."),
        ptr(3, "mode", Int32, "Permission bits of the file."),
    ]),
    core!("DownwardAPIVolumeSource" => "DownwardAPIVolumeSource is fields of the pod as files.", [
        opt(1, "items", List(&Object("DownwardAPIVolumeFile")), "The files.").atomic(),
        ptr(2, "defaultMode", Int32, "Permission bits of files that set none."),
    ]),
    core!("DownwardAPIProjection" => "DownwardAPIProjection projects fields of the pod.", [
        opt(1, "items", List(&Object("DownwardAPIVolumeFile")), "The files.").atomic(),
    ]),
    core!("DownwardAPIVolumeFile" => "DownwardAPIVolumeFile is one file with a field of the pod.", [
        req(1, "path", String, "Path."),
        ptr(2, "fieldRef", Object("ObjectFieldSelector"), "A field of the pod."),
        ptr(3, "resourceFieldRef", Object("ResourceFieldSelector"), "A resource of a container."),
        ptr(4, "mode", Int32, "Permission bits of the file."),
    ]),
    core!("ProjectedVolumeSource" => "ProjectedVolumeSource is several sources in one directory.", [
        own(1, "sources", List(&Object("VolumeProjection")), "The sources.").atomic(),
        ptr(2, "defaultMode", Int32, "Permission bits of files that set none."),
    ]),
    core!("VolumeProjection" => "VolumeProjection is one source of a projected volume.", [
        ptr(1, "secret", Object("SecretProjection"), "Keys of a Secret."),
        ptr(2, "downwardAPI", Object("DownwardAPIProjection"), "Fields of the pod."),
        ptr(3, "configMap", Object("ConfigMapProjection"), "Keys of a ConfigMap."),
        ptr(4, "serviceAccountToken", Object("ServiceAccountTokenProjection"), "Token of the service account."),
        ptr(5, "clusterTrustBundle", Object("ClusterTrustBundleProjection"), "Certificates of a trust bundle."),
        ptr(6, "podCertificate", Object("PodCertificateProjection"), "Key and certificate made for the pod."),
    ]),
    core!("ServiceAccountTokenProjection" => "ServiceAccountTokenProjection projects a token.", [
        opt(1, "audience", String, "Audience of the token."),
        ptr(2, "expirationSeconds", Int64, "Seconds it is valid."),
        req(3, "path", String, "Path."),
    ]),
    core!("ClusterTrustBundleProjection" => "ClusterTrustBundleProjection projects trust anchors.", [
        ptr(1, "name", String, "Name."),
        ptr(2, "signerName", String, "Name of the signer."),
        ptr(3, "labelSelector", Object("LabelSelector"), "Selects pods by label."),
        ptr(5, "optional", Bool, "Whether the source may be missing."),
        req(4, "path", String, "Path."),
    ]),
    core!("PodCertificateProjection" => "PodCertificateProjection projects a key and its certificate.", [
        opt(1, "signerName", String, "Name of the signer.").required(),
        opt(2, "keyType", String, "Type of the key.").required(),
        ptr(3, "maxExpirationSeconds", Int32, "Longest validity."),
        opt(4, "credentialBundlePath", String, "File for key and chain."),
        opt(5, "keyPath", String, "File for the key."),
        opt(6, "certificateChainPath", String, "File for the chain."),
        opt(7, "userAnnotations", Map(&String), "Data for the signer."),
    ]),
    core!("PersistentVolumeClaimVolumeSource" => "PersistentVolumeClaimVolumeSource names a claim.", [
        req(1, "claimName", String, "Name of the claim."),
        opt(2, "readOnly", Bool, "Mounts the volume read-only."),
    ]),
    core!("EphemeralVolumeSource" => "EphemeralVolumeSource is a claim made with the pod.", [
        ptr(1, "volumeClaimTemplate", Object("PersistentVolumeClaimTemplate"), "Template of the claim."),
    ]),
    core!("PersistentVolumeClaimTemplate" => "PersistentVolumeClaimTemplate is the template of a claim.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        req(2, "spec", Object("PersistentVolumeClaimSpec"), "Spec of the claim."),
    ]),
    core!("PersistentVolumeClaimSpec" => "PersistentVolumeClaimSpec is what a claim asks for.", [
        opt(1, "accessModes", List(&String), "Access modes wanted.").atomic().one_of(&["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"]),
        ptr(4, "selector", Object("LabelSelector"), "Selects objects by label."),
        own(2, "resources", Object("VolumeResourceRequirements"), "Compute resources."),
        opt(3, "volumeName", String, "Name of the volume."),
        ptr(5, "storageClassName", String, "Storage class."),
        ptr(6, "volumeMode", String, "Filesystem or Block.").one_of(&["Block", "Filesystem"]),
        ptr(7, "dataSource", Object("TypedLocalObjectReference"), "Object to fill the volume from."),
        ptr(8, "dataSourceRef", Object("TypedObjectReference"), "As dataSource, of any kind."),
        ptr(9, "volumeAttributesClassName", String, "VolumeAttributesClass."),
    ]),
    core!("VolumeResourceRequirements" => "VolumeResourceRequirements is the size of a claim.", [
        opt(1, "limits", Map(&Quantity), "Most that may be used."),
        opt(2, "requests", Map(&Quantity), "Least that is reserved."),
    ]),
    core!(atomic "TypedLocalObjectReference" => "TypedLocalObjectReference names an object of the same namespace.", [
        ptr(1, "apiGroup", String, "API group of the object."),
        req(2, "kind", String, "Kind of the object."),
        req(3, "name", String, "Name."),
    ]),
    core!("TypedObjectReference" => "TypedObjectReference names an object.", [
        ptr(1, "apiGroup", String, "API group of the object."),
        req(2, "kind", String, "Kind of the object."),
        req(3, "name", String, "Name."),
        ptr(4, "namespace", String, "Namespace of the object."),
    ]),
    core!("ImageVolumeSource" => "ImageVolumeSource is the content of an image.", [
        opt(1, "reference", String, "Image or artifact."),
        opt(2, "pullPolicy", String, "Always, Never or IfNotPresent.").one_of(PULL_POLICIES),
    ]),
    core!("CSIVolumeSource" => "CSIVolumeSource is an inline volume of a CSI driver.", [
        req(1, "driver", String, "Name of the driver."),
        ptr(2, "readOnly", Bool, "Mounts the volume read-only."),
        ptr(3, "fsType", String, "File system type of the volume, for instance ext4."),
        opt(4, "volumeAttributes", Map(&String), "Settings for the driver."),
        ptr(5, "nodePublishSecretRef", Object("LocalObjectReference"), "Secret for the driver."),
    ]),
];
