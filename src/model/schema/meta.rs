//! `meta/v1`: metadata of objects and lists, Status, DeleteOptions, label selectors.

use super::Shape::{Bool, FieldsV1, Int32, Int64, List, Map, Object, String, Time};
use super::Type;
use super::build::{opt, own, ptr, req};

pub(super) static TYPES: &[Type] = &[
    meta!(top "DeleteOptions" => "DeleteOptions says how an object is to be deleted.", [
        ptr(1, "gracePeriodSeconds", Int64, "Seconds the object gets to end; 0 deletes at once."),
        ptr(2, "preconditions", Object("Preconditions"), "Must hold, or the deletion is refused with a conflict."),
        ptr(3, "orphanDependents", Bool, "Deprecated: use propagationPolicy."),
        ptr(4, "propagationPolicy", String, "What happens to dependents: Orphan, Background or Foreground."),
        opt(5, "dryRun", List(&String), "With All the request is processed but nothing is stored.").atomic(),
        ptr(6, "ignoreStoreReadErrorWithClusterBreakingPotential", Bool, "Delete an object even when its stored form cannot be read."),
    ]),
    meta!(top "Status" => "Status is the answer of calls that return no other object, above all errors.", [
        own(1, "metadata", Object("ListMeta"), "Standard object metadata."),
        opt(2, "status", String, "Success or Failure."),
        opt(3, "message", String, "What happened, for people."),
        opt(4, "reason", String, "Why, for programs, for instance NotFound."),
        ptr(5, "details", Object("StatusDetails"), "More about the reason."),
        opt(6, "code", Int32, "HTTP status code."),
    ]),
    meta!("Condition" => "Condition is one aspect of an object's state.", [
        req(1, "type", String, "Type of the condition in CamelCase."),
        req(2, "status", String, "True, False or Unknown."),
        opt(3, "observedGeneration", Int64, "The metadata.generation this was seen at."),
        req(4, "lastTransitionTime", Time, "When the status changed last."),
        req(5, "reason", String, "One-word reason for programs."),
        req(6, "message", String, "Explanation for people."),
    ]),
    meta!("ObjectMeta" => "ObjectMeta is what every stored object has: name, labels, version, owners.", [
        opt(1, "name", String, "Unique within namespace and kind; cannot be changed."),
        opt(2, "generateName", String, "Prefix of a name the server completes, when name is empty."),
        opt(3, "namespace", String, "Namespace the object lives in; cannot be changed."),
        opt(4, "selfLink", String, "Deprecated: no longer set."),
        opt(5, "uid", String, "Unique in time and space; set by the server."),
        opt(6, "resourceVersion", String, "Opaque version, set by the server; sent back it guards against lost updates."),
        opt(7, "generation", Int64, "Grows with each change of the desired state, for kinds that use it."),
        opt(8, "creationTimestamp", Time, "When the object was created; set by the server."),
        ptr(9, "deletionTimestamp", Time, "When the object is to be gone; set by the server when deletion was asked for."),
        ptr(10, "deletionGracePeriodSeconds", Int64, "Seconds the object has to end; set with deletionTimestamp."),
        opt(11, "labels", Map(&String), "Keys and values to select objects by."),
        opt(12, "annotations", Map(&String), "Keys and values for tools; not selectable."),
        opt(13, "ownerReferences", List(&Object("OwnerReference")), "Objects this one depends on; it is deleted with the last of them.").merge("uid").keys(&["uid"]),
        opt(14, "finalizers", List(&String), "Must be empty before the object is removed; each names who empties it.").merge_set().set(),
        opt(17, "managedFields", List(&Object("ManagedFieldsEntry")), "Which manager owns which fields; kept by the server.").atomic(),
    ]),
    meta!("ListMeta" => "ListMeta is what lists have: version and continuation.", [
        opt(1, "selfLink", String, "Deprecated: no longer set."),
        opt(2, "resourceVersion", String, "Version the list was read at; a watch can start from it."),
        opt(3, "continue", String, "Token for the next page; empty on the last."),
        ptr(4, "remainingItemCount", Int64, "Number of objects not on this page, when known."),
        ptr(5, "shardInfo", Object("ShardInfo"), "Set when the list holds only a shard of the objects."),
    ]),
    meta!("Preconditions" => "Preconditions must hold before an operation is carried out.", [
        ptr(1, "uid", String, "The uid the object must have."),
        ptr(2, "resourceVersion", String, "The resourceVersion the object must have."),
    ]),
    meta!("StatusDetails" => "StatusDetails says more about a Status.", [
        opt(1, "name", String, "Name of the object, or of the resource."),
        opt(2, "group", String, "API group of the object."),
        opt(3, "kind", String, "Kind or resource of the object."),
        opt(6, "uid", String, "Unique id of the object."),
        opt(4, "causes", List(&Object("StatusCause")), "Single causes of a failure, such as invalid fields.").atomic(),
        opt(5, "retryAfterSeconds", Int32, "Seconds to wait before trying again."),
    ]),
    meta!(atomic "OwnerReference" => "OwnerReference names an object this one depends on, in the same namespace or cluster scoped.", [
        req(5, "apiVersion", String, "API version of the object."),
        req(1, "kind", String, "Kind of the object."),
        req(3, "name", String, "Name."),
        req(4, "uid", String, "Unique id of the object."),
        ptr(6, "controller", Bool, "Whether the owner is the managing controller; at most one is."),
        ptr(7, "blockOwnerDeletion", Bool, "Whether foreground deletion of the owner waits for this object."),
    ]),
    meta!("ManagedFieldsEntry" => "ManagedFieldsEntry is the set of fields one manager owns.", [
        opt(1, "manager", String, "Who owns the fields."),
        opt(2, "operation", String, "Apply or Update."),
        opt(3, "apiVersion", String, "API version the field names belong to."),
        ptr(4, "time", Time, "When the set was last changed."),
        opt(6, "fieldsType", String, "Format of the set: FieldsV1."),
        ptr(7, "fieldsV1", FieldsV1, "The set of fields."),
        opt(8, "subresource", String, "Subresource the fields were written through."),
    ]),
    meta!("ShardInfo" => "ShardInfo says which shard of the objects a list holds.", [
        req(1, "selector", String, "The shard selector the list was made with."),
    ]),
    meta!("StatusCause" => "StatusCause is one cause of a failure.", [
        opt(1, "reason", String, "One-word reason for programs."),
        opt(2, "message", String, "Explanation for people."),
        opt(3, "field", String, "The field at fault, for instance spec.ports[0].port."),
    ]),
    meta!(atomic "LabelSelector" => "LabelSelector selects objects by label; all its parts must hold.", [
        opt(1, "matchLabels", Map(&String), "Labels that must be there with these values."),
        opt(2, "matchExpressions", List(&Object("LabelSelectorRequirement")), "Requirements that must hold.").atomic(),
    ]),
    meta!("LabelSelectorRequirement" => "LabelSelectorRequirement is one requirement on a label.", [
        req(1, "key", String, "Key."),
        req(2, "operator", String, "In, NotIn, Exists or DoesNotExist."),
        opt(3, "values", List(&String), "Values to compare with.").atomic(),
    ]),
];
