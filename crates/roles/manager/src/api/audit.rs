//! The audit log: who changed what, and what was before.

use mainstay_database::{AuditFilter, AuditRow};
use serde_json::{Value, json};

use super::answer::{Answered, page, stored};
use super::ask::Ask;
use super::{Api, instant};

/// The newest first.
pub(super) async fn list(api: &Api, ask: &Ask) -> Answered {
    let text = |name: &str| ask.query.get(name).cloned();
    let filter =
        AuditFilter { actor: text("actor"), action: text("action"), subject: text("subject") };
    page(&api.store.audit_log(filter, ask.range()?).await?, view)
}

fn view(row: &AuditRow) -> Value {
    json!({
        "id": row.id.0,
        "at": instant::json(row.at),
        "actor": row.audit.actor,
        "address": row.audit.address,
        "action": row.audit.action,
        "subject": row.audit.subject,
        "detail": stored(&row.audit.detail),
    })
}
