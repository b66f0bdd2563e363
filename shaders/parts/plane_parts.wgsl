// The parts of planes that workgroups go through. `params` has `channels`, and the file declares WORKGROUP_SIZE.

override PLANE_ITEMS: u32 = 8u;

// The range of a plane that a workgroup goes through, counted in elements or in blocks.
struct PlanePart {
    channel: u32,
    // From the first plane on; none if first is not below end.
    first: u32,
    end: u32,
}

fn plane_part(number: u32, lane: u32, plane_items: u32, total: u32) -> PlanePart {
    let part_items = WORKGROUP_SIZE * PLANE_ITEMS;
    let parts = (plane_items + part_items - 1u) / part_items;
    let plane = number / parts;
    let begin = plane * plane_items;
    let first = (number - plane * parts) * part_items + lane;
    let end = select(0u, begin + min(first + part_items, plane_items), begin < total);
    return PlanePart(plane % params.channels, begin + first, end);
}
