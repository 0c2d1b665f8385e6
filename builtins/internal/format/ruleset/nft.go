package ruleset

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// NFT is what nft -j list ruleset printed.
type NFT struct {
	Version string
	Tables  [][2]string        // family and name
	XT      map[[2]string]bool // tables that hold matches or targets of iptables
	Entries []map[string]any   // without what packets and time change
}

// ParseNFT reads the JSON of nftables. Counters, quotas' use, the members that
// packets add to sets, handles and expiry are left out.
func ParseNFT(out []byte) (*NFT, error) {
	var answer struct{ Nftables []map[string]any }
	dec := json.NewDecoder(bytes.NewReader(out))
	dec.UseNumber()
	if err := dec.Decode(&answer); err != nil {
		return nil, fmt.Errorf("read what nft -j printed: %w", err)
	}
	n := &NFT{XT: map[[2]string]bool{}}
	for _, o := range answer.Nftables {
		for kind, v := range o {
			m, ok := v.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("read what nft -j printed: %q is no object", kind)
			}
			str := func(key string) string { s, _ := m[key].(string); return s }
			switch kind {
			case "metainfo":
				n.Version = str("version")
				continue
			case "table":
				n.Tables = append(n.Tables, [2]string{str("family"), str("name")})
			case "rule":
				if usesXT(m["expr"]) {
					n.XT[[2]string{str("family"), str("table")}] = true
				}
				idle(m["expr"])
			case "set", "map":
				flags, _ := m["flags"].([]any)
				for _, f := range flags {
					if f == "dynamic" {
						delete(m, "elem")
					}
				}
				idle(m["elem"])
			case "counter":
				delete(m, "packets")
				delete(m, "bytes")
			case "quota":
				delete(m, "used")
			}
			n.Entries = append(n.Entries, map[string]any{kind: m})
		}
	}
	return n, nil
}

// usesXT finds {"xt": …} in an expression.
func usesXT(v any) bool {
	switch t := v.(type) {
	case map[string]any:
		for k, x := range t {
			if k == "xt" || usesXT(x) {
				return true
			}
		}
	case []any:
		for _, x := range t {
			if usesXT(x) {
				return true
			}
		}
	}
	return false
}

// idle empties counters in expressions.
func idle(v any) {
	switch t := v.(type) {
	case map[string]any:
		if c, ok := t["counter"].(map[string]any); ok && c["packets"] != nil {
			t["counter"] = nil
		}
		if q, ok := t["quota"].(map[string]any); ok {
			delete(q, "used")
		}
		for _, x := range t {
			idle(x)
		}
	case []any:
		for _, x := range t {
			idle(x)
		}
	}
}

// AddNFT adds the section of nftables.
func (d *Document) AddNFT(n *NFT) error {
	return Add(d, "nftables", true, n.Entries, "handle", "expires")
}
