//! Reviews: what `kubectl auth can-i` and `kubectl auth whoami` ask. Not kinds
//! of [`crate::model::Kind`]: nothing is stored, only answered.

use super::Shape::{Bool, List, Object, String};
use super::Type;
use super::build::{opt, own, ptr, req};

pub(super) static TYPES: &[Type] = &[
    authorization!(top "SelfSubjectAccessReview" => "SelfSubjectAccessReview asks whether the caller may do something.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        req(2, "spec", Object("SelfSubjectAccessReviewSpec"), "What the caller would do."),
        own(3, "status", Object("SubjectAccessReviewStatus"), "The answer."),
    ]),
    authorization!("SelfSubjectAccessReviewSpec" => "SelfSubjectAccessReviewSpec is an action; one member is set.", [
        ptr(1, "resourceAttributes", Object("ResourceAttributes"), "An action on a resource."),
        ptr(2, "nonResourceAttributes", Object("NonResourceAttributes"), "An action on another path."),
    ]),
    authorization!("ResourceAttributes" => "ResourceAttributes is an action on a resource.", [
        opt(1, "namespace", String, "Namespace; all when empty."),
        opt(2, "verb", String, "Verb, for instance get; * is all."),
        opt(3, "group", String, "API group; * is all."),
        opt(4, "version", String, "API version; * is all."),
        opt(5, "resource", String, "Resource; * is all."),
        opt(6, "subresource", String, "Subresource; none when empty."),
        opt(7, "name", String, "Name of the object; all when empty."),
        ptr(8, "fieldSelector", Object("FieldSelectorAttributes"), "Limits the action to matching fields."),
        ptr(9, "labelSelector", Object("LabelSelectorAttributes"), "Limits the action to matching labels."),
    ]),
    authorization!("FieldSelectorAttributes" => "FieldSelectorAttributes limits an action to matching fields.", [
        opt(1, "rawSelector", String, "The selector as text."),
        opt(2, "requirements", List(&Object("FieldSelectorRequirement")), "The selector in parts.").atomic(),
    ]),
    authorization!("LabelSelectorAttributes" => "LabelSelectorAttributes limits an action to matching labels.", [
        opt(1, "rawSelector", String, "The selector as text."),
        opt(2, "requirements", List(&Object("LabelSelectorRequirement")), "The selector in parts.").atomic(),
    ]),
    meta!("FieldSelectorRequirement" => "FieldSelectorRequirement is one requirement on a field.", [
        req(1, "key", String, "The field."),
        req(2, "operator", String, "In, NotIn, Exists or DoesNotExist."),
        opt(3, "values", List(&String), "Values to compare with.").atomic(),
    ]),
    authorization!("NonResourceAttributes" => "NonResourceAttributes is an action on a path that is no resource.", [
        opt(1, "path", String, "The path."),
        opt(2, "verb", String, "The HTTP verb."),
    ]),
    authorization!("SubjectAccessReviewStatus" => "SubjectAccessReviewStatus is the answer of a review.", [
        req(1, "allowed", Bool, "Whether the action is allowed."),
        opt(4, "denied", Bool, "Whether it is denied, whatever others say."),
        opt(2, "reason", String, "Why."),
        opt(3, "evaluationError", String, "What went wrong while deciding."),
    ]),
    authentication!(top "SelfSubjectReview" => "SelfSubjectReview tells the caller who it is.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        own(2, "status", Object("SelfSubjectReviewStatus"), "The answer."),
    ]),
    authentication!("SelfSubjectReviewStatus" => "SelfSubjectReviewStatus is who the caller is.", [
        own(1, "userInfo", Object("UserInfo"), "The caller."),
    ]),
    // `extra` is left out: we never set it, and nobody sends it.
    authentication!("UserInfo" => "UserInfo names a user.", [
        opt(1, "username", String, "Name of the user."),
        opt(2, "uid", String, "Id of the user."),
        opt(3, "groups", List(&String), "Groups of the user.").atomic(),
    ]),
];
