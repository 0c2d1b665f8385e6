package cloudflare

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab/fault"
)

const secret = "lab-token"

type bench struct {
	t      *testing.T
	s      *Server
	faults *fault.Set
	url    string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	faults, err := fault.Open(filepath.Join(dir, "faults.json"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 23, 16, 0, 0, 0, time.UTC)
	s, err := Open(Config{Dir: filepath.Join(dir, "cloudflare"), Token: secret, Faults: faults, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return &bench{t, s, faults, srv.URL}
}

type reply struct {
	status  int
	header  http.Header
	text    string
	Success bool
	Errors  []json.RawMessage
	Result  json.RawMessage
	Info    struct {
		Count   int
		Total   int `json:"total_count"`
		Pages   int `json:"total_pages"`
		Cursor  string
		Cursors struct{ After string }
	} `json:"result_info"`
}

func (b *bench) get(path string, header ...string) reply {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.url+base+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+secret)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return reply{text: err.Error()}
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	out := reply{status: resp.StatusCode, header: resp.Header, text: string(data)}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(data, &out); err != nil {
			b.t.Fatalf("%s: %v", data, err)
		}
	}
	return out
}

const records19 = "/zones/" + ZoneID + "/dns_records"

func TestRequestsAreAnsweredOrRefused(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		name, path string
		header     []string
		status     int
		want       string
	}{
		{"the token", "/user/tokens/verify", nil, 200, `"status":"active"`},
		{"a zone by its name", "/zones?name=example.org&per_page=50", nil, 200, `"total_count":1`},
		{"a zone that is not there", "/zones?name=example.com", nil, 200, `"result":[]`},
		{"the records", records19, nil, 200, `"total_count":19`},
		{"the export", records19 + "/export", nil, 200, "example.org\t3600\tIN\tSOA\tada.ns.cloudflare.com."},
		{"a record with comment and tags", records19 + "/export", nil, 200, "vpn.example.org.\t1\tIN\tA\t192.0.2.40 ; " +
			"cf_tags=team:ops,critical,cf-proxied:false\n"},
		{"a list of rulesets, without rules", "/zones/" + ZoneID + "/rulesets", nil, 200, `"phase":"http_request_dynamic_redirect"`},
		{"a ruleset", "/zones/" + ZoneID + "/rulesets/1f2e3d4c5b6a79880716253443526170", nil, 200, "$blocked"},
		{"an entrypoint", "/zones/" + ZoneID + "/rulesets/phases/http_request_firewall_custom/entrypoint", nil, 200, "$blocked"},
		{"an unused phase", "/zones/" + ZoneID + "/rulesets/phases/http_ratelimit/entrypoint", nil, 404, "could not find"},
		{"all settings", "/zones/" + ZoneID + "/settings", nil, 200, `"min_tls_version"`},
		{"one setting", "/zones/" + ZoneID + "/settings/ssl", nil, 200, `"strict"`},
		{"tunnels that are not deleted", "/accounts/" + AccountID + "/cfd_tunnel?is_deleted=false", nil, 200, `"total_count":1`},
		{"the ingress rules of a tunnel", "/accounts/" + AccountID + "/cfd_tunnel/" + TunnelID + "/configurations", nil, 200, "http_status:404"},
		{"the token of a tunnel", "/accounts/" + AccountID + "/cfd_tunnel/" + TunnelID + "/token", nil, 501, "the lab does not serve"},
		{"a parameter that is unknown", "/zones?nmae=x", nil, 400, "unknown query parameter nmae"},
		{"a page that is not a number", records19 + "?page=two", nil, 400, "is no float64"},
		{"too large a page of zones", "/zones?per_page=51", nil, 400, "from 1 to 50"},
		{"a zone outside its folder", "/zones/..%2fx/dnssec", nil, 501, "does not serve"},
		{"no token", "/zones", []string{"Authorization", ""}, 400, "6003"},
		{"a wrong token", "/zones", []string{"Authorization", "Bearer x"}, 401, "Invalid API Token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := b.get(c.path, c.header...)
			if got.status != c.status || !strings.Contains(got.text, c.want) {
				t.Errorf("got %d %s, want %d %s", got.status, got.text, c.status, c.want)
			}
			if got.header.Get("Ratelimit") == "" {
				t.Error("no Ratelimit header")
			}
			if strings.Contains(c.name, "without rules") && strings.Contains(got.text, "expression") {
				t.Error("the list holds rules")
			}
		})
	}
}

func TestPagesAndCursorsAddUpToTheList(t *testing.T) {
	b := newBench(t)
	seen := 0
	for page := 1; page < 10; page++ {
		r := b.get(records19 + "?per_page=5&page=" + string(rune('0'+page)))
		seen += r.Info.Count
		if r.Info.Pages != 4 || r.Info.Total != 19 {
			t.Fatalf("got %+v", r.Info)
		}
	}
	if seen != 19 {
		t.Errorf("got %d records, want 19", seen)
	}
	for path, want := range map[string]int{"/accounts/" + AccountID + "/rules/lists/" + ListID + "/items": 3,
		"/zones/" + ZoneID + "/rulesets": 3} {
		seen, cursor := 0, ""
		for range 10 {
			r := b.get(path + "?per_page=2&cursor=" + cursor)
			var list []any
			if err := json.Unmarshal(r.Result, &list); err != nil {
				t.Fatal(err, r.text)
			}
			seen += len(list)
			if cursor = r.Info.Cursor + r.Info.Cursors.After; cursor == "" {
				break
			}
		}
		if seen != want {
			t.Errorf("%s: got %d, want %d", path, seen, want)
		}
	}
}

func TestFaultsAreDone(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		do     string
		status int
		want   string
	}{
		{"answer 403", 403, "Authentication error"},
		{"answer 502 bad gateway", 502, "bad gateway"},
		{"bare 403 no", 403, `"errors":["no"]`},
		{"limit", 429, "throttling"},
		{"limit 30", 429, "throttling"},
		{"garbage sorry", 200, "<title>sorry"},
		{"cut-before", 0, "EOF"},
		{"empty", 200, `"total_count":0`},
		{"endless", 200, `"total_count":1073741824`},
		{"moving", 200, `"total_count":2`},
		{"short", 200, `"count":18`},
		{"remaining 3", 200, `"count":19`},
	} {
		t.Run(c.do, func(t *testing.T) {
			if err := b.faults.Replace([]fault.Fault{{On: "GET " + records19, Do: c.do}}); err != nil {
				t.Fatal(err)
			}
			got := b.get(records19)
			if got.status != c.status || !strings.Contains(got.text, c.want) {
				t.Errorf("got %d %.300s, want %d %s", got.status, got.text, c.status, c.want)
			}
			if retry := got.header.Get("Retry-After"); c.do == "limit 30" && retry != "30" || c.do == "limit" && retry != "" {
				t.Errorf("got Retry-After %q", retry)
			}
			if c.do == "remaining 3" && !strings.Contains(got.header.Get("Ratelimit"), "r=3;") {
				t.Errorf("got %q", got.header.Get("Ratelimit"))
			}
		})
	}
}

func TestAWindowHoldsSoManyRequests(t *testing.T) {
	b := newBench(t)
	b.s.count, b.s.window = perWindow-1, b.s.cfg.Now()
	if r := b.get("/zones"); r.status != 200 || !strings.Contains(r.header.Get("Ratelimit"), "r=0;") {
		t.Errorf("got %d %v", r.status, r.header)
	}
	if r := b.get("/zones"); r.status != 429 || r.header.Get("Retry-After") != "301" {
		t.Errorf("got %d, Retry-After %q", r.status, r.header.Get("Retry-After"))
	}
}

func TestTokensAreNarrow(t *testing.T) {
	b := newBench(t)
	if err := b.s.state.write("tokens.json", map[string][]string{secret: {"GET */dnssec"}}); err != nil {
		t.Fatal(err)
	}
	if r := b.get("/zones/" + ZoneID + "/dnssec"); r.status != 403 {
		t.Errorf("got %d", r.status)
	}
	if r := b.get("/zones/" + ZoneID + "/dns_settings"); r.status != 200 {
		t.Errorf("got %d", r.status)
	}
}

func TestRecordsCanBeMany(t *testing.T) {
	b := newBench(t)
	if err := b.s.SetRecords(1234); err != nil {
		t.Fatal(err)
	}
	if r := b.get(records19 + "?per_page=1000&page=2"); r.Info.Total != 1234 || r.Info.Count != 234 {
		t.Errorf("got %+v", r.Info)
	}
}

// The objects of a new state have the fields that the schema gives them, and no
// others.
func TestTheStateFitsTheSchema(t *testing.T) {
	b := newBench(t)
	known := map[string][]string{ // fields that the API has and the schema leaves open
		"accounts.Account": {"type", "created_on", "name", "id", "settings", "managed_by"}, "rulesets.RulesetListResponse": {"rules"},
	}
	for template, file := range files {
		e := b.s.schema.Paths[template]
		if e == nil {
			t.Errorf("%s is served and not in the schema", template)
			continue
		}
		file = strings.NewReplacer("{zone_id}", ZoneID, "{account_id}", AccountID, "{list_id}", ListID, "{tunnel_id}", TunnelID).Replace(file)
		var any json.RawMessage
		if err := b.s.state.read(file+".json", &any); err != nil {
			t.Fatal(err)
		}
		var list []Object
		if any[0] != '[' {
			any = json.RawMessage("[" + string(any) + "]")
		}
		if err := json.Unmarshal(any, &list); err != nil {
			t.Fatal(err)
		}
		for _, o := range list {
			fits(t, template, b.s.schema.Types[e.Result], known[e.Result], o)
		}
	}
}

func fits(t *testing.T, at string, typ map[string]json.RawMessage, also []string, o Object) {
	t.Helper()
	for k := range o {
		if typ[k] == nil && !slices.Contains(also, k) {
			t.Errorf("%s: field %s is not in the schema", at, k)
		}
	}
	for k, raw := range typ {
		var text string
		if json.Unmarshal(raw, &text) == nil && strings.HasSuffix(text, "!") {
			if _, ok := o[k]; !ok {
				t.Errorf("%s: field %s is missing", at, k)
			}
		}
	}
}
