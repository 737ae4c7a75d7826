//! Settings of client quotas.

use crate::config::Bounds::{AtLeast, Between};
use crate::config::Effect::Applied;

keys! {
    "quota.window.num" Int "11" Between(1, 100_000),
        Broker Restart [] Applied,
        "In how many windows it is measured what clients take, where they have a quota. A client \
         that took nothing lately may take at once what all windows but one have room for.";
    "quota.window.size.seconds" Int "1" Between(1, 86_400),
        Broker Restart [] Applied,
        "How long such a window is, in seconds.";
    "controller.quota.window.num" Int "11" Between(1, 100_000),
        Broker Restart [] Applied,
        "How many windows' worth of partitions a client may create and delete at once, where it \
         has a quota of that.";
    "controller.quota.window.size.seconds" Int "1" Between(1, 86_400),
        Broker Restart [] Applied,
        "How long such a window is, in seconds.";
    "max.connection.creation.rate" Int "2147483647" AtLeast(0),
        Broker Dynamic [] Applied,
        "Connections that may begin in a second; more have to wait. The listener between brokers \
         does not count, where clients have one of their own. A listener may have a limit of its \
         own as well, as `listener.name.secure.max.connection.creation.rate` in the broker's file.";
}
