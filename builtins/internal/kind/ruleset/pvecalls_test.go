package ruleset

import "testing"

// What pvesh takes of a value that an answer gives as JSON.
func TestAWordOfACall(t *testing.T) {
	for _, c := range []struct {
		in   map[string]any
		want string
	}{
		{map[string]any{"dhcp-range": []any{map[string]any{"start-address": "10.0.0.1", "end-address": "10.0.0.9"},
			map[string]any{"start-address": "10.0.1.1", "end-address": "10.0.1.9"}}},
			" --dhcp-range 'end-address=10.0.0.9,start-address=10.0.0.1' --dhcp-range 'end-address=10.0.1.9,start-address=10.0.1.1'"},
		{map[string]any{"asn": 4200000000.0, "snat": true, "arp": false, "rate": 1.5}, " --arp 0 --asn 4200000000 --rate 1.5 --snat 1"},
		{map[string]any{"o": map[string]any{"list": []any{"a", 2e6}, "on": true}}, " --o 'list=a;2000000,on=1'"},
		{map[string]any{"comment": "it's", "zone": "z1"}, ` --comment 'it'\''s'`},
	} {
		if got := options(c.in, "zone"); got != c.want {
			t.Errorf("%v: got %s, want %s", c.in, got, c.want)
		}
	}
}
