//! Classic consumer groups and committed offsets.

mod delete_groups;
mod describe_groups;
mod find_coordinator;
mod heartbeat;
mod join_group;
mod leave_group;
mod list_groups;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod sync_group;

pub use self::delete_groups::*;
pub use self::describe_groups::*;
pub use self::find_coordinator::*;
pub use self::heartbeat::*;
pub use self::join_group::*;
pub use self::leave_group::*;
pub use self::list_groups::*;
pub use self::offset_commit::*;
pub use self::offset_delete::*;
pub use self::offset_fetch::*;
pub use self::sync_group::*;
