// The sums of tiles of 4 by 4 pixels of up to 8 channels, in registers: [4 * channel + row]. No index may be a variable, or
// they leave the registers. A file that names this names bits and weights too.

// Adds the sums of one channel, which were summed separately to keep rounding small where there are many channels.
fn add_sums(totals: ptr<function, array<vec4<f32>, 32>>, sums: ptr<function, array<vec4<f32>, 32>>) {
    (*totals)[0] += (*sums)[0];
    (*totals)[1] += (*sums)[1];
    (*totals)[2] += (*sums)[2];
    (*totals)[3] += (*sums)[3];
    if (CHANNELS > 1) {
        (*totals)[4] += (*sums)[4];
        (*totals)[5] += (*sums)[5];
        (*totals)[6] += (*sums)[6];
        (*totals)[7] += (*sums)[7];
        (*totals)[8] += (*sums)[8];
        (*totals)[9] += (*sums)[9];
        (*totals)[10] += (*sums)[10];
        (*totals)[11] += (*sums)[11];
        (*totals)[12] += (*sums)[12];
        (*totals)[13] += (*sums)[13];
        (*totals)[14] += (*sums)[14];
        (*totals)[15] += (*sums)[15];
    }
    if (CHANNELS > 4) {
        (*totals)[16] += (*sums)[16];
        (*totals)[17] += (*sums)[17];
        (*totals)[18] += (*sums)[18];
        (*totals)[19] += (*sums)[19];
        (*totals)[20] += (*sums)[20];
        (*totals)[21] += (*sums)[21];
        (*totals)[22] += (*sums)[22];
        (*totals)[23] += (*sums)[23];
        (*totals)[24] += (*sums)[24];
        (*totals)[25] += (*sums)[25];
        (*totals)[26] += (*sums)[26];
        (*totals)[27] += (*sums)[27];
        (*totals)[28] += (*sums)[28];
        (*totals)[29] += (*sums)[29];
        (*totals)[30] += (*sums)[30];
        (*totals)[31] += (*sums)[31];
    }
}

// Whether any of them is infinite or NaN.
fn largest_of(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> vec4<u32> {
    return max(max(exponents(a), exponents(b)), max(exponents(c), exponents(d)));
}

fn are_spoilt(sums: ptr<function, array<vec4<f32>, 32>>) -> bool {
    var largest = largest_of((*sums)[0], (*sums)[1], (*sums)[2], (*sums)[3]);
    if (CHANNELS > 1) {
        largest = max(largest, largest_of((*sums)[4], (*sums)[5], (*sums)[6], (*sums)[7]));
        largest = max(largest, largest_of((*sums)[8], (*sums)[9], (*sums)[10], (*sums)[11]));
        largest = max(largest, largest_of((*sums)[12], (*sums)[13], (*sums)[14], (*sums)[15]));
    }
    if (CHANNELS > 4) {
        largest = max(largest, largest_of((*sums)[16], (*sums)[17], (*sums)[18], (*sums)[19]));
        largest = max(largest, largest_of((*sums)[20], (*sums)[21], (*sums)[22], (*sums)[23]));
        largest = max(largest, largest_of((*sums)[24], (*sums)[25], (*sums)[26], (*sums)[27]));
        largest = max(largest, largest_of((*sums)[28], (*sums)[29], (*sums)[30], (*sums)[31]));
    }
    return any(largest == vec4<u32>(EXPONENT));
}
