package cloudflare

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/lab"
)

func (b *bench) net() (NetExport, error) {
	return b.session().Networking(b.t.Context(), "", []string{"example.org"})
}

func TestTheAccountIsReadWhole(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	x, err := b.net()
	if err != nil || len(x.Missing) != 0 {
		t.Fatalf("got %v, %v", x.Missing, err)
	}
	text, err := x.JSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{accountID, `$blocked`, `"203.0.113.128/25"`, `"company rules everywhere"`, `"cache_everything"`,
		`"http_status:404"`, `"10.0.0.0/16"`, `"is_default_network"`, `"scanner"`, `"Cloudflare Managed Ruleset"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the export does not hold %s", want)
		}
	}
	for _, not := range []string{"origin_ip", "conns_active_at", `"healthy"`, `"old"`, "token"} {
		if strings.Contains(string(text), not) {
			t.Errorf("the export holds %s", not)
		}
	}
	back, err := ReadNet(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.net()
	if err != nil {
		t.Fatal(err)
	}
	for name, y := range map[string]NetExport{"what is read back": back, "a second export": again} {
		if got, err := y.JSON(); err != nil || string(got) != string(text) {
			t.Errorf("%s differs: %v", name, err)
		}
	}
}

func TestPartsOfTheAccountThatAreNotToBeHadAreTold(t *testing.T) {
	t.Parallel()
	for on, part := range map[string]string{
		"GET /accounts/*/rulesets": "rulesets of the account", "GET /zones/*/rulesets": "rulesets of example.org",
		"GET /accounts/*/rules/lists":        "lists",
		"GET /accounts/*/items":              "items of list 2c0fc9fa937b11eaa1b71c4d701ab86e",
		"GET /accounts/*/access_rules/rules": "access rules of the account",
		"GET /zones/*/pagerules":             "page rules of example.org", "GET /accounts/*/cfd_tunnel": "tunnels",
		"GET */configurations": "ingress rules of tunnel f70ff985-a4ef-4643-bbbc-4a0ed4fc8415",
		"GET */routes":         "routes", "GET */virtual_networks": "virtual networks",
	} {
		b := newBench(t)
		b.inject(lab.Fault{On: on, Do: "answer 403"})
		x, err := b.net()
		if err != nil || len(x.Missing) != 1 || x.Missing[0].Part != part || !strings.HasPrefix(x.Missing[0].Why, "403") {
			t.Errorf("%s: got %v, %v", on, x.Missing, err)
		}
	}
}

func TestARulesetThatVanishesMakesTheListBeReadAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one := "GET /zones/" + zoneID + "/rulesets/1f2e3d4c5b6a79880716253443526170"
	b.inject(lab.Fault{On: one, Do: "answer 404", Times: 1})
	if x, err := b.net(); err != nil || len(x.Zones[0].Rulesets) != 3 {
		t.Errorf("got %v", err)
	}
	b.inject(lab.Fault{On: one, Do: "answer 404"})
	if _, err := b.net(); err == nil || !strings.Contains(err.Error(), "4 times in a row") {
		t.Errorf("got %v", err)
	}
	b.inject(lab.Fault{On: "GET */items", Do: "endless"})
	if _, err := b.net(); err == nil || !strings.Contains(err.Error(), "came twice") {
		t.Errorf("cursors without end: got %v", err)
	}
}

func TestCallsComeInTheOrderInWhichTheyFindWhatTheyName(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	x, err := b.net()
	if err != nil {
		t.Fatal(err)
	}
	calls, err := x.Calls()
	if err != nil {
		t.Fatal(err)
	}
	a, z := "/accounts/"+accountID, "/zones/"+zoneID
	want := []string{
		"POST " + a + "/rules/lists", "PUT " + a + "/rules/lists/2c0fc9fa937b11eaa1b71c4d701ab86e/items", "POST " + a + "/rulesets",
		"PUT " + a + "/rulesets/phases/http_request_firewall_custom/entrypoint",
		"PUT " + z + "/rulesets/phases/http_request_firewall_custom/entrypoint",
		"PUT " + z + "/rulesets/phases/http_request_dynamic_redirect/entrypoint", "POST " + z + "/pagerules",
		"POST " + z + "/firewall/access_rules/rules",
		"POST " + a + "/firewall/access_rules/rules", "POST " + a + "/cfd_tunnel",
		"PUT " + a + "/cfd_tunnel/f70ff985-a4ef-4643-bbbc-4a0ed4fc8415/configurations",
		"POST " + a + "/teamnet/virtual_networks", "POST " + a + "/teamnet/routes",
	}
	if len(calls) != len(want) {
		t.Errorf("got %d calls, want %d", len(calls), len(want))
	}
	for i, c := range calls {
		if i < len(want) && c.Method+" "+c.Path != want[i] {
			t.Errorf("call %d: got %s %s, want %s", i, c.Method, c.Path, want[i])
		}
		for _, not := range []string{"last_updated", `"version"`, "created_on", "modified_on"} {
			if strings.Contains(string(c.Body), not) {
				t.Errorf("call %d sends %s, which the API writes itself", i, not)
			}
		}
	}
	if line := calls[1].Line("02.json"); line != `curl --fail-with-body -sS -X PUT "$API`+calls[1].Path+
		`" -H @"$AUTH" -H 'Content-Type: application/json' --data @02.json` {
		t.Errorf("got %s", line)
	}
}

func TestHostileExportsMakeNoCalls(t *testing.T) {
	for name, text := range map[string]string{
		"an id that leaves its path":    `{"account":"a","lists":[{"list":{"id":"../../x","name":"n"},"items":[]}]}`,
		"a phase that leaves its path":  `{"account":"a","rulesets":[{"id":"x","kind":"root","phase":"../x","rules":[]}]}`,
		"rules that are not list":       `{"account":"a","rulesets":[{"id":"x","kind":"root","phase":"x","rules":1}]}`,
		"an object that is a number":    `{"account":"a","routes":[1]}`,
		"a zone that leaves its path":   `{"account":"a","zones":[{"name":"n","id":"x\"; rm -rf /","page_rules":[{}]}]}`,
		"an account that leaves a path": `{"account":"$(reboot)","routes":[{}]}`,
	} {
		x, err := ReadNet(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if calls, err := x.Calls(); err == nil {
			t.Errorf("%s: got %v", name, calls)
		}
	}
	for name, text := range map[string]string{"an unknown field": `{"acount":"a"}`, "two documents": `{} {}`, "no JSON": `x`} {
		if _, err := ReadNet(strings.NewReader(text)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestRecordCallsAreBatches(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	x, err := b.zone()
	if err != nil {
		t.Fatal(err)
	}
	var many []json.RawMessage
	for len(many) < 2*recordsPerCall+1 {
		many = append(many, x.Records...)
	}
	calls, err := RecordCalls(x.ID, many[:2*recordsPerCall+1])
	if err != nil || len(calls) != 3 || calls[2].Why != "records 401 to 401" || calls[0].Path != "/zones/"+zoneID+"/dns_records/batch" {
		t.Fatalf("got %v, %v", calls, err)
	}
	var body struct{ Posts []map[string]any }
	if err := json.Unmarshal(calls[0].Body, &body); err != nil || len(body.Posts) != recordsPerCall {
		t.Fatalf("got %d posts, %v", len(body.Posts), err)
	}
	for _, p := range body.Posts {
		if p["id"] != nil || p["meta"] != nil || p["type"] == nil || p["name"] == nil {
			t.Errorf("got %v", p)
		}
		if (p["data"] == nil) == (p["content"] == nil) {
			t.Errorf("got %v: a record of parts is made by them, others by their content", p)
		}
	}
	if _, err := RecordCalls("../x", x.Records); err == nil {
		t.Error("a bad zone is accepted")
	}
}
