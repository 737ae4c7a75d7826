//! Reading and changing configs.

mod alter_configs;
mod describe_configs;
mod incremental_alter_configs;
mod list_config_resources;

pub use self::alter_configs::*;
pub use self::describe_configs::*;
pub use self::incremental_alter_configs::*;
pub use self::list_config_resources::*;
