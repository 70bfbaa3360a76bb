//! Range sets from the config: the runtime's first, then the one at top level, then `ranges`.
//! The error texts are those that host-local's users know (H-079, H-090 to H-098).

use cni::{Code, Error, Fields};
use serde_json::Value;

use crate::range::{Range, RangeError, RangeSet};

/// All sets, each valid and none sharing an address with another.
pub(super) fn sets(ipam: &Fields<'_>, runtime: Option<&[Value]>) -> Result<Vec<RangeSet>, Error> {
    let mut sets = Vec::new();
    for (index, value) in runtime.unwrap_or_default().iter().enumerate() {
        add(&mut sets, value, &format!("runtimeConfig.ipRanges[{index}]"))?;
    }
    if ipam.value("subnet").is_some_and(|subnet| subnet.as_str() != Some("")) {
        let position = sets.len();
        let range = range(ipam)?.map_err(|error| invalid_set(position, &error))?;
        sets.push(RangeSet::new(vec![range]).map_err(|error| invalid_set(position, &error))?);
    }
    for (index, value) in ipam.list("ranges")?.unwrap_or_default().iter().enumerate() {
        add(&mut sets, value, &format!("ipam.ranges[{index}]"))?;
    }
    if sets.is_empty() {
        return Err(Error::new(Code::InvalidConfig, "no IP ranges specified"));
    }
    for (position, one) in sets.iter().enumerate() {
        let others = sets.iter().enumerate().skip(position + 1);
        if let Some((other, _)) = others.into_iter().find(|(_, other)| one.overlaps(other)) {
            return Err(Error::new(Code::InvalidConfig, format!("range set {position} overlaps with {other}")));
        }
    }
    Ok(sets)
}

fn add(sets: &mut Vec<RangeSet>, value: &Value, path: &str) -> Result<(), Error> {
    let position = sets.len();
    let mistake = |what: &str| Error::new(Code::InvalidConfig, format!("{path}: must be a list of ranges{what}"));
    let mut ranges = Vec::new();
    for (index, value) in value.as_array().ok_or_else(|| mistake(""))?.iter().enumerate() {
        let object = value.as_object().ok_or_else(|| mistake(", each an object with a subnet"))?;
        let fields = Fields::new(object, format!("{path}[{index}]"), Code::InvalidConfig);
        ranges.push(range(&fields)?.map_err(|error| invalid_set(position, &error))?);
    }
    sets.push(RangeSet::new(ranges).map_err(|error| invalid_set(position, &error))?);
    Ok(())
}

fn range(fields: &Fields<'_>) -> Result<Result<Range, RangeError>, Error> {
    let subnet = fields.network("subnet")?.ok_or_else(|| fields.missing("subnet"))?;
    let (start, end) = (fields.address("rangeStart")?, fields.address("rangeEnd")?);
    Ok(Range::new(subnet, start, end, fields.address("gateway")?))
}

fn invalid_set(position: usize, error: &RangeError) -> Error {
    Error::new(Code::InvalidConfig, format!("invalid range set {position}: {error}"))
}
