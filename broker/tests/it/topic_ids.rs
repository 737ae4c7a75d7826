//! Metadata of topics that are asked for by their ids.

use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::metadata::*;

use crate::dev_node::DevNode;

/// Java's clients leave the name empty where they have an id: the coordinator of a group with a
/// regular expression names topics by id alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_is_asked_for_with_an_empty_name_or_none() {
    let mut node = DevNode::start().await;
    node.create_topic("t").await;
    let image = node.node.context().controller.image();
    let id = image.topic("t").unwrap().id.0;
    let mut unknown = id;
    unknown.0[0] ^= 1;
    for name in [None, Some(String::new())] {
        let topic = |topic_id| MetadataRequestTopic {
            topic_id,
            name: name.clone(),
        };
        let ask = MetadataRequest {
            topics: Some(vec![topic(id), topic(unknown)]),
            ..Default::default()
        };
        let answer = node.ask(13, &ask).await;
        let told = |place: usize| {
            let topic = &answer.topics[place];
            (topic.name.as_deref(), topic.error_code)
        };
        assert_eq!(told(0), (Some("t"), 0));
        assert_eq!(told(1), (None, ErrorCode::UnknownTopicId.code()));
    }
    node.node.stop().await;
}
