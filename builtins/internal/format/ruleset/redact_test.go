package ruleset

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestRedactRemovesSecretsAtAnyDepth(t *testing.T) {
	t.Parallel()
	secret := func(name string) bool { return name == "token" }
	for name, c := range map[string]struct{ in, want, gone string }{
		"no secret":           {`{"a":1}`, `{"a":1}`, ""},
		"one":                 {`{"a":1,"token":"t"}`, `{"a":1}`, "token"},
		"in a list in a list": {`[[{"token":"t","b":10000000000000000001}]]`, `[[{"b":10000000000000000001}]]`, "token"},
		"an object":           {`{"x":{"token":{"y":"t"}}}`, `{"x":{}}`, "token"},
		"none is set":         {`{"token":"","x":{"token":null}}`, `{"token":"","x":{"token":null}}`, ""},
		"a switch, and lists": {`{"x":{"token":true},"token":[]}`, `{"x":{"token":true},"token":[]}`, ""},
		"a number":            {`{"token":1234}`, `{}`, "token"},
	} {
		got, gone, err := Redact(json.RawMessage(c.in), secret)
		if err != nil || string(got) != c.want || strings.Join(gone, ",") != c.gone {
			t.Errorf("%s: got %s without %q, %v; want %s without %q", name, got, gone, err, c.want, c.gone)
		}
	}
	if _, _, err := Redact(json.RawMessage(`{`), secret); err == nil {
		t.Error("what is no JSON was taken")
	}
}

func TestAFieldThatIsLeftOutIsNoChange(t *testing.T) {
	t.Parallel()
	doc := func(entry string) *Document {
		d := &Document{}
		if err := Add(d, "sdn/dns", false, []json.RawMessage{json.RawMessage(entry)}); err != nil {
			t.Fatal(err)
		}
		return d
	}
	a, b := doc(`{"dns":"p","url":"x","key":"in clear"}`), doc(`{"dns":"p","url":"y"}`)
	b.Miss("sdn/dns key", "it is a secret")
	if got := Diff(a, b); len(got) != 1 || strings.Contains(got[0].Text(), "in clear") {
		t.Errorf("got %+v", got)
	}
}
