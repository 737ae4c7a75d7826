//! Who may do what, how much of it, and how they prove who they are.

mod alter_client_quotas;
mod alter_user_scram_credentials;
mod create_acls;
mod delete_acls;
mod describe_acls;
mod describe_client_quotas;
mod describe_user_scram_credentials;
mod sasl_authenticate;
mod sasl_handshake;

pub use self::alter_client_quotas::*;
pub use self::alter_user_scram_credentials::*;
pub use self::create_acls::*;
pub use self::delete_acls::*;
pub use self::describe_acls::*;
pub use self::describe_client_quotas::*;
pub use self::describe_user_scram_credentials::*;
pub use self::sasl_authenticate::*;
pub use self::sasl_handshake::*;
