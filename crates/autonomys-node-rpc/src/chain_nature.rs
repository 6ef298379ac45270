//! What a node says its chain is made of.

use serde_json::Value;

/// Kind of chain, and what a development chain is made of instead of what the network uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChainNature {
    /// The chain calls itself a development chain.
    pub development: bool,
    /// Name of its proof of space, unless it is the network's.
    pub proof_of_space: Option<String>,
    /// Name of its KZG parameters, unless they are the network's.
    pub kzg_parameters: Option<String>,
}

impl ChainNature {
    /// From the answers to `system_chainType` and `system_properties`. Only a development chain may be made of anything but what
    /// the network uses, so what another chain says of this is ignored.
    pub fn from_answers(chain_type: &Value, properties: &Value) -> Self {
        let development = chain_type == "Development";
        let property = |name: &str| {
            let value = properties.get(name).and_then(Value::as_str);
            value.filter(|_| development).map(str::to_string)
        };
        Self {
            development,
            proof_of_space: property("proofOfSpace"),
            kzg_parameters: property("kzgParameters"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_development_chains_choose() {
        let properties = json!({ "kzgParameters": "insecure-development", "ss58Format": 6094 });
        let nature = ChainNature::from_answers(&json!("Development"), &properties);
        assert!(nature.development && nature.proof_of_space.is_none());
        assert_eq!(nature.kzg_parameters.as_deref(), Some("insecure-development"));
        for chain_type in [json!("Live"), json!({ "Custom": "Development" }), Value::Null] {
            assert_eq!(
                ChainNature::from_answers(&chain_type, &properties),
                ChainNature::default()
            );
        }
        assert!(ChainNature::from_answers(&json!("Development"), &Value::Null).development);
    }
}
