//! Reviews: resources that are created to be answered and never stored. Not kinds
//! of [`Kind`](super::Kind), because there are no objects of them.

use super::kind::Resource;

const fn review(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    namespaced: bool,
) -> Resource {
    Resource {
        group,
        version: "v1",
        kind,
        plural,
        singular,
        short_names: &[],
        categories: &[],
        namespaced,
        subresources: &[],
        create_on_put: false,
        delete_returns_object: false,
        generation: false,
        delete_collection: false,
        in_memory: true,
        read_only: false,
        conditional_update: false,
    }
}

const AUTHORIZATION: &str = "authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// May I?
pub static SELF_ACCESS: Resource =
    review(AUTHORIZATION, "SelfSubjectAccessReview", "selfsubjectaccessreviews", "selfsubjectaccessreview", false);
/// What may I?
pub static SELF_RULES: Resource =
    review(AUTHORIZATION, "SelfSubjectRulesReview", "selfsubjectrulesreviews", "selfsubjectrulesreview", false);
/// May they?
pub static ACCESS: Resource =
    review(AUTHORIZATION, "SubjectAccessReview", "subjectaccessreviews", "subjectaccessreview", false);
/// May they, in a namespace?
pub static LOCAL_ACCESS: Resource =
    review(AUTHORIZATION, "LocalSubjectAccessReview", "localsubjectaccessreviews", "localsubjectaccessreview", true);
/// Who am I?
pub static SELF_SUBJECT: Resource =
    review(AUTHENTICATION, "SelfSubjectReview", "selfsubjectreviews", "selfsubjectreview", false);
/// Whose token is this?
pub static TOKEN: Resource = review(AUTHENTICATION, "TokenReview", "tokenreviews", "tokenreview", false);
/// A token of a ServiceAccount, please: created below its account, as the
/// subresource `serviceaccounts/token` of the core group.
pub static TOKEN_REQUEST: Resource = review(AUTHENTICATION, "TokenRequest", "serviceaccounts/token", "", true);

/// Every review.
pub static ALL: [&Resource; 6] = [&SELF_ACCESS, &SELF_RULES, &ACCESS, &LOCAL_ACCESS, &SELF_SUBJECT, &TOKEN];
