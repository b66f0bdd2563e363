// parts: pairs
// 4 sums beside each other.

struct BlockSums {
    totals: vec4<f32>,
    // What their rounding lost, with the other sign. 0 where a total is no number: what was lost would make it NaN.
    lost: vec4<f32>,
}

fn add_block(sums: ptr<function, BlockSums>, terms: vec4<f32>) {
    let rest = terms - (*sums).lost;
    let totals = hidden_block((*sums).totals + rest);
    let lost = (totals - (*sums).totals) - rest;
    (*sums).lost = select(lost, vec4<f32>(), is_spoilt(totals));
    (*sums).totals = totals;
}

fn sum_at(sums: BlockSums, index: u32) -> vec2<f32> {
    return vec2<f32>(sums.totals[index], -sums.lost[index]);
}

// All of them as one pair.
fn sum_of_block(sums: BlockSums) -> vec2<f32> {
    return add_pair(add_pair(sum_at(sums, 0u), sum_at(sums, 1u)), add_pair(sum_at(sums, 2u), sum_at(sums, 3u)));
}
