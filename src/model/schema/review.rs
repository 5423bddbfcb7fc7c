//! Reviews: what `kubectl auth can-i` and `kubectl auth whoami` ask. Not kinds
//! of [`crate::model::Kind`]: nothing is stored, only answered.

use super::Shape::{Bool, Int64, List, Map, Object, String, Time};
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
    authorization!(top "SubjectAccessReview" => "SubjectAccessReview asks whether somebody may do something.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        req(2, "spec", Object("SubjectAccessReviewSpec"), "Who would do what."),
        own(3, "status", Object("SubjectAccessReviewStatus"), "The answer."),
    ]),
    authorization!(top "LocalSubjectAccessReview" => "LocalSubjectAccessReview asks whether somebody may do something in a namespace.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        req(2, "spec", Object("SubjectAccessReviewSpec"), "Who would do what."),
        own(3, "status", Object("SubjectAccessReviewStatus"), "The answer."),
    ]),
    authorization!("SubjectAccessReviewSpec" => "SubjectAccessReviewSpec is an action and who would do it.", [
        ptr(1, "resourceAttributes", Object("ResourceAttributes"), "An action on a resource."),
        ptr(2, "nonResourceAttributes", Object("NonResourceAttributes"), "An action on another path."),
        opt(3, "user", String, "Name of the user."),
        opt(4, "groups", List(&String), "Groups of the user.").atomic(),
        opt(5, "extra", Map(&List(&String)), "What else is known of the user."),
        opt(6, "uid", String, "Id of the user."),
    ]),
    authorization!(top "SelfSubjectRulesReview" => "SelfSubjectRulesReview asks what the caller may do in a namespace.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        req(2, "spec", Object("SelfSubjectRulesReviewSpec"), "Where."),
        own(3, "status", Object("SubjectRulesReviewStatus"), "The answer."),
    ]),
    authorization!("SelfSubjectRulesReviewSpec" => "SelfSubjectRulesReviewSpec names a namespace.", [
        opt(1, "namespace", String, "The namespace."),
    ]),
    authorization!("SubjectRulesReviewStatus" => "SubjectRulesReviewStatus lists what somebody may do.", [
        req(1, "resourceRules", List(&Object("ResourceRule")), "Actions on resources.").atomic(),
        req(2, "nonResourceRules", List(&Object("NonResourceRule")), "Actions on other paths.").atomic(),
        req(3, "incomplete", Bool, "Whether there may be more."),
        opt(4, "evaluationError", String, "What went wrong while looking."),
    ]),
    authorization!("ResourceRule" => "ResourceRule is a set of actions on resources.", [
        req(1, "verbs", List(&String), "Verbs; * is all.").atomic(),
        opt(2, "apiGroups", List(&String), "API groups; * is all.").atomic(),
        opt(3, "resources", List(&String), "Resources; * is all.").atomic(),
        opt(4, "resourceNames", List(&String), "Names of objects; all when empty.").atomic(),
    ]),
    authorization!("NonResourceRule" => "NonResourceRule is a set of actions on paths that are no resources.", [
        req(1, "verbs", List(&String), "HTTP verbs; * is all.").atomic(),
        opt(2, "nonResourceURLs", List(&String), "The paths; * at the end is any rest.").atomic(),
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
    authentication!("UserInfo" => "UserInfo names a user.", [
        opt(1, "username", String, "Name of the user."),
        opt(2, "uid", String, "Id of the user."),
        opt(3, "groups", List(&String), "Groups of the user.").atomic(),
        opt(4, "extra", Map(&List(&String)), "What else is known of the user."),
    ]),
    authentication!(top "TokenReview" => "TokenReview asks whom a token names.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        req(2, "spec", Object("TokenReviewSpec"), "The token."),
        own(3, "status", Object("TokenReviewStatus"), "The answer."),
    ]),
    authentication!("TokenReviewSpec" => "TokenReviewSpec is a token and for whom it should be.", [
        opt(1, "token", String, "The token.").required(),
        opt(2, "audiences", List(&String), "Who asks; this API when empty. The token must be for one of them.").atomic(),
    ]),
    authentication!("TokenReviewStatus" => "TokenReviewStatus is whom a token names.", [
        opt(1, "authenticated", Bool, "Whether the token names somebody."),
        own(2, "user", Object("UserInfo"), "Whom."),
        opt(3, "error", String, "Why it names nobody."),
        opt(4, "audiences", List(&String), "Those of the audiences asked for that the token is for.").atomic(),
    ]),
    authentication!(top "TokenRequest" => "TokenRequest asks for a token of a ServiceAccount.", [
        own(1, "metadata", Object("ObjectMeta"), "Standard object metadata."),
        own(2, "spec", Object("TokenRequestSpec"), "What the token is for."),
        own(3, "status", Object("TokenRequestStatus"), "The token."),
    ]),
    authentication!("TokenRequestSpec" => "TokenRequestSpec says what a token is for.", [
        own(1, "audiences", List(&String), "Who may take the token for good; this API when empty.").atomic(),
        ptr(3, "boundObjectRef", Object("BoundObjectReference"), "The token ends with this object."),
        ptr(4, "expirationSeconds", Int64, "How long it is good: an hour by default, ten minutes at least."),
    ]),
    authentication!("TokenRequestStatus" => "TokenRequestStatus is a token.", [
        own(1, "token", String, "The token."),
        own(2, "expirationTimestamp", Time, "When it ends."),
    ]),
    authentication!("BoundObjectReference" => "BoundObjectReference names the object a token ends with.", [
        opt(1, "kind", String, "Pod, Node or Secret."),
        opt(2, "apiVersion", String, "Its version, v1."),
        opt(3, "name", String, "Its name."),
        opt(4, "uid", String, "Its uid; whatever it is when empty."),
    ]),
];
