//! Parameters by serde: what is written is read as the same, and what users write is read as PyTorch would take it.

use std::fmt::Debug;

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, from_str, from_value, json, to_string, to_value};
use wgdnn::cases::{Refusal, read_params};
use wgdnn::{
    AvgPool2dParams, BatchNormParams, Conv2dParams, ConvTranspose2dParams, CrossEntropyParams, FlattenParams,
    MaxPool2dParams, MseLossParams, Padding, Reduction, RoiPoolParams,
};

/// That parameters are read as the same that were written.
pub fn comes_back<P: Debug + PartialEq + Serialize + DeserializeOwned>(params: &P) {
    let value = to_value(params).unwrap();
    assert_eq!(&from_value::<P>(value.clone()).unwrap(), params, "{value}");
    assert_eq!(to_value(from_str::<P>(&value.to_string()).unwrap()).unwrap().to_string(), value.to_string());
}

pub fn pair() -> impl Strategy<Value = [usize; 2]> {
    any::<[usize; 2]>()
}

pub fn reduction() -> impl Strategy<Value = Reduction> {
    prop_oneof![Just(Reduction::None), Just(Reduction::Mean), Just(Reduction::Sum)]
}

/// Few problems: there is little to go wrong.
pub fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) }
}

/// A number of few digits: serde_json reads others from a text with an error in the last place.
pub fn number() -> impl Strategy<Value = f64> {
    any::<i16>().prop_map(|number| f64::from(number) / 64.0)
}

#[test]
fn params_are_written_as_pytorch_writes_them() {
    let written = |text: &str, expected: &str| assert_eq!(text, expected);
    written(
        &to_string(&MaxPool2dParams::new([3, 2])).unwrap(),
        r#"{"kernel_size":[3,2],"stride":null,"padding":[0,0],"dilation":[1,1],"ceil_mode":false,"return_indices":false}"#,
    );
    let params = Conv2dParams { padding: Padding::Same, ..Default::default() };
    written(&to_string(&params).unwrap(), r#"{"stride":[1,1],"padding":"same","dilation":[1,1],"groups":1}"#);
    written(
        &to_string(&CrossEntropyParams::default()).unwrap(),
        r#"{"ignore_index":-100,"reduction":"mean","label_smoothing":0.0}"#,
    );
    written(&to_string(&[Reduction::None, Reduction::Sum]).unwrap(), r#"["none","sum"]"#);
    written(&to_string(&[Padding::Valid, [1, 2].into()]).unwrap(), r#"["valid",[1,2]]"#);
}

#[test]
fn what_users_write_is_read() {
    fn reads<P: Debug + PartialEq + DeserializeOwned>(text: &str, expected: P) {
        assert_eq!(from_str::<P>(text).unwrap(), expected, "{text}");
        let Value::Object(params) = from_str(text).unwrap() else { panic!("{text}") };
        assert_eq!(read_params::<P>("op", &params), Ok(expected), "{text}");
    }
    let pool = MaxPool2dParams::new([3, 3]);
    reads(r#"{"kernel_size": 3}"#, pool.clone());
    reads(r#"{"kernel_size": 3, "stride": [2, 1]}"#, MaxPool2dParams { stride: Some([2, 1]), ..pool.clone() });
    reads(r#"{"kernel_size": [3], "stride": [2]}"#, MaxPool2dParams { stride: Some([2, 2]), ..pool.clone() });
    for stride in ["null", "[]"] {
        reads(&format!(r#"{{"stride": {stride}, "kernel_size": [3, 3]}}"#), pool.clone());
    }
    reads(
        r#"{"kernel_size": 3, "padding": 1, "dilation": 2, "ceil_mode": true, "return_indices": true}"#,
        MaxPool2dParams { padding: [1, 1].into(), dilation: [2, 2], ceil_mode: true, return_indices: true, ..pool },
    );
    let pool = AvgPool2dParams::new([2, 2]);
    reads(r#"{"kernel_size": 2, "divisor_override": null}"#, pool.clone());
    reads(
        r#"{"kernel_size": 2, "divisor_override": -3, "count_include_pad": false}"#,
        AvgPool2dParams { divisor_override: Some(-3), count_include_pad: false, ..pool },
    );
    reads("{}", Conv2dParams::default());
    reads(r#"{"padding": "valid"}"#, Conv2dParams { padding: Padding::Valid, ..Default::default() });
    reads(r#"{"padding": 1, "groups": 4}"#, Conv2dParams { padding: [1, 1].into(), groups: 4, ..Default::default() });
    reads(
        r#"{"stride": 2, "output_padding": [1, 0]}"#,
        ConvTranspose2dParams { stride: [2, 2], output_padding: [1, 0], ..Default::default() },
    );
    reads(r#"{"start_dim": -2}"#, FlattenParams { start_dim: -2, end_dim: -1 });
    reads(r#"{"output_size": 7}"#, RoiPoolParams::new([7, 7]));
    reads(
        r#"{"output_size": [7, 5], "spatial_scale": 1}"#,
        RoiPoolParams { spatial_scale: 1.0, ..RoiPoolParams::new([7, 5]) },
    );
    reads(r#"{"spatial_scale": 0.1, "output_size": 1}"#, RoiPoolParams { output_size: [1, 1], spatial_scale: 0.1 });
    reads(r#"{"training": true, "eps": 1}"#, BatchNormParams { training: true, momentum: 0.1, eps: 1.0 });
    reads(
        r#"{"reduction": "sum", "ignore_index": -1}"#,
        CrossEntropyParams { reduction: Reduction::Sum, ignore_index: -1, label_smoothing: 0.0 },
    );
    reads(r#"{"reduction": "none"}"#, MseLossParams { reduction: Reduction::None });
}

/// What a case's parameters are refused with.
#[track_caller]
fn refusal<P: Debug + DeserializeOwned>(params: Value) -> Refusal {
    let Value::Object(params) = params else { panic!("{params} is no object") };
    read_params::<P>("op", &params).unwrap_err()
}

#[track_caller]
fn is_bad<P: Debug + DeserializeOwned>(params: Value, expected: &str) {
    let reason = from_value::<P>(params.clone()).unwrap_err().to_string();
    assert_eq!(reason, expected);
    assert_eq!(refusal::<P>(params), Refusal::BadInput(format!("op: {expected}")));
}

#[test]
fn bad_values_are_refused_with_what_was_expected() {
    const PAIR: &str = "a whole number of 0 or more, or two of them, got";
    for bad in ["-1", "1.5", "1.0", "\"2\"", "true", "null", "[]", "[1, -2]", "[1, 1, 1]", "[[1]]", "[1, \"1\"]"] {
        let value: Value = from_str(bad).unwrap();
        is_bad::<MaxPool2dParams>(json!({ "kernel_size": value }), &format!("kernel_size: expected {PAIR} {bad}"));
        is_bad::<ConvTranspose2dParams>(json!({ "padding": value }), &format!("padding: expected {PAIR} {bad}"));
        is_bad::<RoiPoolParams>(json!({ "output_size": value }), &format!("output_size: expected {PAIR} {bad}"));
        is_bad::<Conv2dParams>(
            json!({ "padding": value }),
            &format!("padding: expected \"same\", \"valid\", {PAIR} {bad}"),
        );
    }
    is_bad::<RoiPoolParams>(json!({"output_size": [1]}), &format!("output_size: expected {PAIR} [1]"));
    is_bad::<AvgPool2dParams>(
        json!({"kernel_size": 1, "stride": {"a": [1, null]}}),
        &format!("stride: expected {PAIR} {{\"a\": [1, null]}}"),
    );
    is_bad::<AvgPool2dParams>(
        json!({"kernel_size": 1, "divisor_override": 1.5}),
        "divisor_override: expected a whole number, got 1.5",
    );
    is_bad::<AvgPool2dParams>(
        json!({"kernel_size": 1, "divisor_override": []}),
        "divisor_override: expected a whole number, got []",
    );
    is_bad::<Conv2dParams>(json!({"groups": -1}), "groups: expected a whole number of 0 or more, got -1");
    is_bad::<FlattenParams>(
        json!({"start_dim": u64::MAX}),
        "start_dim: expected a whole number, got 18446744073709551615",
    );
    is_bad::<BatchNormParams>(json!({"eps": "1"}), "eps: expected a number, got \"1\"");
    is_bad::<BatchNormParams>(json!({"training": 1}), "training: expected true or false, got 1");
    is_bad::<RoiPoolParams>(
        json!({"output_size": 1, "spatial_scale": [1e60]}),
        "spatial_scale: expected a number, got [1e60]",
    );
    is_bad::<MseLossParams>(
        json!({"reduction": "max"}),
        "reduction: expected \"none\", \"mean\" or \"sum\", got \"max\"",
    );
    let reason = from_str::<Padding>("\"full\"").unwrap_err().to_string();
    assert!(reason.starts_with("expected \"same\", \"valid\", a whole number"), "{reason}");
}

#[test]
fn missing_and_doubled_ones_are_refused() {
    is_bad::<MaxPool2dParams>(json!({"stride": 1}), "kernel_size: expected one, got none");
    is_bad::<AvgPool2dParams>(json!({}), "kernel_size: expected one, got none");
    is_bad::<RoiPoolParams>(json!({"spatial_scale": 1}), "output_size: expected one, got none");
    let reason = from_str::<Conv2dParams>(r#"{"groups": 1, "groups": 2}"#).unwrap_err().to_string();
    assert!(reason.starts_with("groups: expected one, got two"), "{reason}");
    assert!(from_value::<Conv2dParams>(json!([1])).is_err());
}

#[test]
fn unknown_names_are_told_apart() {
    // Before a bad value, and what is not PyTorch's has no name.
    let unknown = refusal::<Conv2dParams>(json!({"groups": -1, "algorithm": "direct"}));
    assert_eq!(unknown, Refusal::BadCase("op has no parameter \"algorithm\"".into()));
    assert_eq!(
        refusal::<MaxPool2dParams>(json!({"kernelsize": 2})),
        Refusal::BadCase("op has no parameter \"kernelsize\"".into())
    );
    let reason = from_value::<FlattenParams>(json!({"dim": 1})).unwrap_err().to_string();
    assert_eq!(reason, "unknown field `dim`, expected `start_dim` or `end_dim`");
    assert_eq!(read_params("op", &Map::new()), Ok(FlattenParams::default()));
}

/// PyTorch's pools take no word for padding, and no function of it numbers for each side.
#[test]
fn padding_is_read_where_pytorch_takes_it() {
    let sides = json!({"rows": [0, 1], "cols": [2, 0]});
    let wide = |padding: serde_json::Value| json!({"kernel_size": 5, "padding": padding});
    for refused in [json!("valid"), json!("same"), json!([[0, 0], [0, 0]]), json!({"rows": [0, 1]})] {
        let error = serde_json::from_value::<MaxPool2dParams>(wide(refused.clone())).unwrap_err().to_string();
        assert!(error.starts_with("padding: expected a whole number of 0 or more, or two of them, got"), "{error}");
        assert!(serde_json::from_value::<wgdnn::AvgPool2dParams>(wide(refused)).is_err());
    }
    assert!(serde_json::from_value::<wgdnn::Conv2dParams>(json!({"padding": [[0, 1], [2, 0]]})).is_err());
    let read: MaxPool2dParams = serde_json::from_value(wide(sides.clone())).unwrap();
    assert_eq!(read.padding, wgdnn::Padding::Sides([[0, 1], [2, 0]]));
    assert_eq!(serde_json::to_value(&read).unwrap()["padding"], sides);
}

/// Parameters that are texts, or that two operators share.
#[test]
fn texts_come_back() {
    use wgdnn::{Approximate, GeluParams, LeakyReluParams, SoftmaxParams};

    for approximate in [Approximate::None, Approximate::Tanh] {
        comes_back(&GeluParams { approximate });
    }
    comes_back(&SoftmaxParams::new(-1));
    comes_back(&LeakyReluParams { negative_slope: 0.25 });
    is_bad::<GeluParams>(json!({"approximate": "erf"}), "approximate: expected \"none\" or \"tanh\", got \"erf\"");
    is_bad::<SoftmaxParams>(json!({}), "dim: expected one, got none");
}
