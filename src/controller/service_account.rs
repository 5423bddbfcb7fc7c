//! Every namespace has an account `default`, in memory: whoever deletes it sees
//! it come back.

use serde_json::json;

use super::Scene;
use super::draft;
use crate::model::object::ParseError;
use crate::model::{Kind, ObjectKey};
use crate::store::Op;

pub(super) fn reconcile(scene: &mut Scene<'_>, key: &ObjectKey) -> Result<Option<Op>, ParseError> {
    let namespace = scene.snapshot.get(Kind::Namespace, &ObjectKey::new("", &key.namespace));
    let lives = namespace.is_some_and(|namespace| !namespace.meta.deleting);
    if !lives || scene.snapshot.get(Kind::ServiceAccount, key).is_some() {
        return Ok(None);
    }
    let value = json!({"metadata": scene.metadata(key)});
    draft::create(Kind::ServiceAccount, &value, Vec::new()).map(Some)
}
