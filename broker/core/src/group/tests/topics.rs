//! Topics that offsets can be of.

use std::sync::Arc;

use ottla_protocol::ids::{TopicId, Uuid};

use crate::image::{MetadataImage, Topic};

/// A topic of three partitions.
pub(super) fn add_topic(image: &mut MetadataImage, name: &str, id: u8) -> TopicId {
    let id = TopicId(Uuid([id; 16]));
    let topic = Topic {
        id,
        name: name.into(),
        partitions: vec![Arc::default(); 3].into(),
    };
    Arc::make_mut(&mut image.topics).insert(name.into(), Arc::new(topic));
    Arc::make_mut(&mut image.topic_names).insert(id, name.into());
    id
}

/// Takes a topic out.
pub(super) fn remove_topic(image: &mut MetadataImage, name: &str) -> TopicId {
    let topic = Arc::make_mut(&mut image.topics).remove(name);
    let id = topic.expect("the topic is there").id;
    Arc::make_mut(&mut image.topic_names).remove(&id);
    id
}
