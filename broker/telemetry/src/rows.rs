//! The same number for each value of a label. The values are known beforehand, so that whoever
//! counts looks nothing up by name and takes no lock.

use std::sync::Arc;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, TypedMetric, counter::Counter};

use crate::Histogram;

/// A number that can say whether anything was counted in it yet.
pub trait Counted: EncodeMetric + TypedMetric + Default {
    /// Whether nothing was.
    fn is_zero(&self) -> bool;
}

impl Counted for Counter {
    fn is_zero(&self) -> bool {
        self.get() == 0
    }
}

impl Counted for Histogram {
    fn is_zero(&self) -> bool {
        self.count() == 0
    }
}

/// A number by the values of one label; a value in which nothing was counted is not on the page.
/// Clones count in the same numbers.
#[derive(Clone, Debug)]
pub struct Rows<M> {
    label: &'static str,
    rows: Arc<[(String, M)]>,
}

impl<M: Counted> Rows<M> {
    /// A number for each of the values, in their order.
    #[must_use]
    pub fn new(label: &'static str, values: impl IntoIterator<Item = String>) -> Self {
        let row = |value| (value, M::default());
        let rows = values.into_iter().map(row).collect();
        Self { label, rows }
    }

    /// The number of the value at this place.
    #[inline]
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&M> {
        self.rows.get(place).map(|(_, number)| number)
    }
}

impl<M: Counted> TypedMetric for Rows<M> {
    const TYPE: MetricType = M::TYPE;
}

impl<M: Counted> EncodeMetric for Rows<M> {
    fn encode(&self, mut encoder: MetricEncoder) -> std::fmt::Result {
        let counted = |(_, number): &&(String, M)| !number.is_zero();
        for (value, number) in self.rows.iter().filter(counted) {
            let labels = [(self.label, value.as_str())];
            number.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}
