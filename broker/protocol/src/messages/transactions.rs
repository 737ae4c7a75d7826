//! Transactions, and looking into them.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod describe_producers;
mod describe_transactions;
mod end_txn;
mod list_transactions;
mod txn_offset_commit;
mod write_txn_markers;

pub use self::add_offsets_to_txn::*;
pub use self::add_partitions_to_txn::*;
pub use self::describe_producers::*;
pub use self::describe_transactions::*;
pub use self::end_txn::*;
pub use self::list_transactions::*;
pub use self::txn_offset_commit::*;
pub use self::write_txn_markers::*;
