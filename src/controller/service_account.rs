//! Every namespace has an account `default`: whoever deletes it sees it come back.
//! On flash, like the namespace, because tokens name it by its uid: after a restart
//! they must find the same one.

use serde_json::json;

use super::{Decision, Scene, draft};
use crate::model::object::ParseError;
use crate::model::{Kind, ObjectKey};
use crate::store::Durability;

pub(super) fn reconcile(scene: &mut Scene<'_>, key: &ObjectKey) -> Result<Decision, ParseError> {
    let namespace = scene.snapshot.get(Kind::Namespace, &ObjectKey::new("", &key.namespace));
    let lives = namespace.is_some_and(|namespace| !namespace.meta.deleting);
    if !lives || scene.snapshot.get(Kind::ServiceAccount, key).is_some() {
        return Ok(Decision::default());
    }
    let value = json!({"metadata": scene.metadata(key)});
    let op = draft::create(Kind::ServiceAccount, &value, Vec::new())?;
    Ok(Decision { ops: vec![op], durability: Durability::Flash, again: None })
}
