//! Races in workgroup memory: what one invocation writes and another reads or writes without a barrier between.

use std::collections::BTreeMap;

use crate::interpreter::{Workgroup, accesses};

/// What is wrong with a workgroup: variables and what became of them.
pub fn races(workgroup: &Workgroup<'_>) -> Vec<String> {
    let entry = &workgroup.module.entry_points[0];
    let [x, y, z] = entry.workgroup_size;
    let traces: Vec<_> = (0..x * y * z).map(|index| accesses(workgroup, &entry.function, index)).collect();
    let mut problems = Vec::new();
    if traces.iter().any(|trace| trace.len() != traces[0].len()) {
        problems.push("not all invocations reach the same barriers".to_owned());
    }
    for phase in 0..traces[0].len() {
        // The invocations that read and that wrote an element, and anything of a variable.
        let mut elements = BTreeMap::<_, [Vec<usize>; 2]>::new();
        let mut wholes = BTreeMap::<_, [Vec<usize>; 2]>::new();
        for (invocation, trace) in traces.iter().enumerate() {
            for &(variable, element, is_write) in trace.get(phase).into_iter().flatten() {
                let add = |users: &mut [Vec<usize>; 2]| {
                    let users = &mut users[usize::from(is_write)];
                    // Two are enough to be different.
                    if users.len() < 2 && !users.contains(&invocation) {
                        users.push(invocation);
                    }
                };
                add(wholes.entry(variable).or_default());
                add(elements.entry((variable, element)).or_default());
            }
        }
        for ((variable, element), [readers, writers]) in elements {
            // An element that is unknown may be any.
            let [readers, writers] = if element.is_none() { wholes[&variable].clone() } else { [readers, writers] };
            let is_race =
                writers.len() > 1 || writers.iter().any(|writer| readers.iter().any(|reader| reader != writer));
            let name = workgroup.module.global_variables[variable].name.clone().unwrap_or_default();
            if is_race {
                let (write, read) = (&writers, &readers);
                problems.push(format!("{name}[{element:?}] after {phase} barriers: {write:?} write, {read:?} read"));
            }
        }
    }
    problems
}

#[test]
fn races_are_told_from_what_is_none() {
    let races_of = |body: &str| {
        let source = format!(
            "override WIDTH: u32 = 64u;
            @group(0) @binding(0) var<storage, read_write> data: array<u32>;
            var<workgroup> shared_values: array<u32, 128>;
            fn write(at: u32) {{ shared_values[at] = 1u; }}
            @compute @workgroup_size(64)
            fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) workgroup: vec3<u32>) {{ {body} }}"
        );
        let (module, info) = crate::shaders::validated("races", &source);
        let (module, _) = crate::shaders::specialized(&module, &info, "main");
        races(&Workgroup { module: &module, uniform: &[], id: [0; 3], grid: [1; 3] })
    };
    let tree = |barrier: &str| {
        format!(
            "write(lane); workgroupBarrier();
            for (var width = WIDTH / 2u; width > 0u; width /= 2u) {{
                if (lane < width) {{ shared_values[lane] += shared_values[lane + width]; }}
                {barrier}
            }}
            data[lane] = shared_values[0];"
        )
    };
    let rounds = |slot: &str, last: &str| {
        format!(
            "var slot = 0u;
            for (var round = 0; round < 3; round++) {{
                write(slot + lane); workgroupBarrier();
                data[lane] = shared_values[slot + 63u - lane]; {last} {slot}
            }}"
        )
    };
    let none = [
        "write(lane); data[lane] = shared_values[lane];",
        "write(lane); workgroupBarrier(); data[lane] = shared_values[63u - lane];",
        "if (lane < 32u) { write(lane); } else { data[lane] = shared_values[lane]; }",
        &tree("workgroupBarrier();"),
        &rounds("", "workgroupBarrier();"),
        // In turns, one barrier a round is enough.
        &rounds("slot = 64u - slot;", ""),
    ];
    for body in none {
        assert_eq!(races_of(body), [""; 0], "{body}");
    }
    let some = [
        "write(lane); data[lane] = shared_values[63u - lane];",
        "write(lane / 2u);",
        "write(lane); storageBarrier(); data[lane] = shared_values[lane ^ 1u];",
        "data[lane] = shared_values[lane + 1u]; write(lane);",
        // Where nobody knows.
        "write(lane); data[lane] = shared_values[data[lane]];",
        "if (data[lane] > 3u) { write(lane); } data[lane] = shared_values[lane ^ 1u];",
        &tree(""),
        &rounds("", ""),
    ];
    for body in some {
        assert!(!races_of(body).is_empty(), "{body}");
    }
}
