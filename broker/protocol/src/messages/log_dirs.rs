//! Where replicas lie on disk.

mod alter_replica_log_dirs;
mod describe_log_dirs;

pub use self::alter_replica_log_dirs::*;
pub use self::describe_log_dirs::*;
