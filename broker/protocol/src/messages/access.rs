//! Who may do what, how much of it, and how they prove who they are.

mod alter_client_quotas;
mod alter_user_scram_credentials;
mod create_acls;
mod create_delegation_token;
mod delete_acls;
mod describe_acls;
mod describe_client_quotas;
mod describe_delegation_token;
mod describe_user_scram_credentials;
mod expire_delegation_token;
mod renew_delegation_token;
mod sasl_authenticate;
mod sasl_handshake;

pub use self::alter_client_quotas::*;
pub use self::alter_user_scram_credentials::*;
pub use self::create_acls::*;
pub use self::create_delegation_token::*;
pub use self::delete_acls::*;
pub use self::describe_acls::*;
pub use self::describe_client_quotas::*;
pub use self::describe_delegation_token::*;
pub use self::describe_user_scram_credentials::*;
pub use self::expire_delegation_token::*;
pub use self::renew_delegation_token::*;
pub use self::sasl_authenticate::*;
pub use self::sasl_handshake::*;
