package cloudflare

import (
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/neosofia/runner/builtins/lab"
)

const (
	zoneID    = "9e107d9d372bb6826bd81d3542a419d6"
	accountID = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
	recordsOf = "GET /zones/" + zoneID + "/dns_records"
)

// bench is a session with the lab's Cloudflare, on a clock that jumps.
type bench struct {
	t *testing.T
	w *lab.World
	c *Client

	mu     sync.Mutex
	now    time.Time
	slept  []time.Duration
	during func() // done in the first sleep
}

func newBench(t *testing.T, edit ...func(*Config)) *bench {
	t.Helper()
	w, err := lab.Open(t.Context(), filepath.Join(t.TempDir(), "world"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg := Config{URL: "https://api.cloudflare.lab/client/v4", Token: string(lab.Secrets()["cloudflare-token"]),
		Fingerprints: []string{lab.CloudflareFingerprint()}, Dial: w.Dial}
	for _, e := range edit {
		e(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.http.CloseIdleConnections)
	return &bench{t: t, w: w, c: c, now: time.Date(2026, 11, 23, 16, 0, 0, 0, time.UTC)}
}

func (b *bench) session() *Session {
	return b.c.On(Clock{Now: func() time.Time {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.now
	}, Sleep: func(ctx context.Context, d time.Duration) error {
		b.mu.Lock()
		b.now, b.slept = b.now.Add(d), append(b.slept, d)
		during := b.during
		b.during = nil
		b.mu.Unlock()
		if during != nil {
			during()
		}
		return ctx.Err()
	}})
}

func (b *bench) inject(faults ...lab.Fault) {
	b.t.Helper()
	if err := b.w.Inject(faults...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) zone() (ZoneExport, error) {
	return b.session().Zone(b.t.Context(), "Example.org.", "")
}

// flat is an export as one text.
func flat(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestAZoneIsReadWhole(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	x, err := b.zone()
	if err != nil {
		t.Fatal(err)
	}
	if x.ID != zoneID || x.Account != accountID || len(x.Records) != 19 || len(x.Missing) != 0 {
		t.Errorf("got %s, %s, %d records, %v", x.ID, x.Account, len(x.Records), x.Missing)
	}
	for part, want := range map[string]struct {
		have string
		text string
	}{
		"zone": {string(x.Zone), `"plan":{`}, "dnssec": {string(x.DNSSEC), `"key_tag":42`},
		"dns_settings": {string(x.DNSSettings), `"ns_ttl":86400`},
		"settings":     {string(x.Settings), `"id":"min_tls_version"`}, "bind": {string(x.BIND), "example.org.\t3600\tIN\tSOA\t"},
	} {
		if !strings.Contains(want.have, want.text) {
			t.Errorf("%s: got %.200s, want %s", part, want.have, want.text)
		}
	}
	if strings.Contains(string(x.Zone), "development_mode") || strings.Contains(string(x.Settings), "time_remaining") ||
		strings.Contains(string(x.BIND), "Exported") {
		t.Error("what changes without a change of state is kept")
	}
	again, err := b.zone()
	if err != nil || flat(t, again) != flat(t, x) {
		t.Errorf("a second export of one state differs: %v", err)
	}
}

func TestManyPagesAreReadWhole(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.w.Cloudflare().SetRecords(2*recordsPerPage + 3); err != nil {
		t.Fatal(err)
	}
	x, err := b.zone()
	if err != nil || len(x.Records) != 2*recordsPerPage+3 || x.BIND == nil {
		t.Errorf("got %d records, %v, %v", len(x.Records), x.Missing, err)
	}
}

func TestFaultsHaveTheirKind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		faults []lab.Fault
		kind   Kind
		words  string
	}{
		{"401", []lab.Fault{{On: "GET /zones", Do: "answer 401"}}, Auth, "Invalid API Token (401) [1000]"},
		{"403", []lab.Fault{{On: "GET /zones", Do: "answer 403"}}, Forbidden, "Authentication error (403) [10000]"},
		{"403 for the records", []lab.Fault{{On: recordsOf, Do: "answer 403"}}, Forbidden, "/dns_records: Authentication error"},
		{"errors that are bare strings", []lab.Fault{{On: "GET /zones", Do: "bare 403 not for you"}}, Forbidden, "not for you (403)"},
		{"429 without end", []lab.Fault{{On: recordsOf, Do: "limit"}}, Limited, "throttling"},
		{"429 with Retry-After, without end", []lab.Fault{{On: recordsOf, Do: "limit 30"}}, Limited, "throttling"},
		{"502 without end", []lab.Fault{{On: recordsOf, Do: "answer 502"}}, Down, "Bad Gateway (502)"},
		{"connections that are cut", []lab.Fault{{On: recordsOf, Do: "cut-before"}}, Down, "EOF"},
		{"a page of HTML", []lab.Fault{{On: recordsOf, Do: "garbage hello"}}, Answer, "not the API's JSON: <!DOCTYPE html>"},
		{"a redirect", []lab.Fault{{On: recordsOf, Do: "answer 302"}}, Answer, "(302)"},
		{"400", []lab.Fault{{On: recordsOf, Do: "answer 400 bad per_page"}}, Answer, "bad per_page (400)"},
		{"pages without end", []lab.Fault{{On: recordsOf, Do: "endless"}}, Changing, "came twice"},
		{"a count that moves", []lab.Fault{{On: recordsOf, Do: "moving"}}, Changing, "4 times in a row"},
		{"a record less than counted", []lab.Fault{{On: recordsOf, Do: "short"}}, Changing, "has 19 entries by its own count, and 18 came"},
		{"another certificate", []lab.Fault{{On: "tls api.cloudflare.lab", Do: "new-cert"}}, Cert, "its fingerprint is "},
		{"no such zone", []lab.Fault{{On: "GET /zones", Do: "empty"}}, NotFound, "sees no zone example.org"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.inject(c.faults...)
			_, err := b.zone()
			if kind, ok := KindOf(err); !ok || kind != c.kind || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got kind %d, %v, want %d with %q", kind, err, c.kind, c.words)
			}
		})
	}
}

func TestWhatPassesIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		do    string
		times int
		waits []time.Duration
	}{
		{"limit 30", 2, []time.Duration{30 * time.Second, 30 * time.Second}},
		{"limit 86400", 1, []time.Duration{longest}},
		{"limit", 2, []time.Duration{10 * time.Second, time.Minute}},
		{"answer 503", 2, []time.Duration{time.Second, 4 * time.Second}},
		{"cut-before", 1, nil}, // on a used connection net/http itself asks again
		{"remaining 3", 1, []time.Duration{300 * time.Second}},
		{"moving", 1, nil},
	} {
		t.Run(c.do, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.inject(lab.Fault{On: recordsOf, Do: c.do, Times: c.times})
			x, err := b.zone()
			if err != nil || len(x.Records) != 19 {
				t.Fatalf("got %d records, %v", len(x.Records), err)
			}
			for i, w := range c.waits {
				if i >= len(b.slept) || b.slept[i] < w-2*time.Second || b.slept[i] > w+2*time.Second {
					t.Errorf("got waits %v, want %v", b.slept, c.waits)
				}
			}
		})
	}
}

func TestPartsThatAreNotToBeHadAreTold(t *testing.T) {
	t.Parallel()
	for on, part := range map[string]string{"*/dnssec": "dnssec", "*/dns_settings": "dns_settings", "*/settings*": "settings",
		"*/export": "bind"} {
		for _, do := range []string{"answer 403", "answer 404"} {
			b := newBench(t)
			b.inject(lab.Fault{On: "GET " + on, Do: do})
			x, err := b.zone()
			if err != nil || len(x.Missing) != 1 || x.Missing[0].Part != part || !strings.HasPrefix(x.Missing[0].Why, do[7:]) ||
				len(x.Records) != 19 {
				t.Errorf("%s, %s: got %v, %v", on, do, x.Missing, err)
			}
		}
	}
}

func TestSettingsAreReadOneByOneWhereAllAreNotAnswered(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	all, err := b.zone()
	if err != nil {
		t.Fatal(err)
	}
	b.inject(lab.Fault{On: "GET /zones/" + zoneID + "/settings", Do: "answer 404"})
	x, err := b.zone()
	if err != nil || string(x.Settings) != string(all.Settings) {
		t.Errorf("got %s, %v, want %s", x.Settings, err, all.Settings)
	}
}

func TestATextThatLacksARecordIsNotKept(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.inject(lab.Fault{On: "GET */export", Do: "short"})
	x, err := b.zone()
	if err != nil || x.BIND != nil || len(x.Missing) != 1 ||
		!strings.Contains(x.Missing[0].Why, "differ in 1 records: + _25._tcp.mail.example.org. 3600 TLSA") {
		t.Errorf("got %v, %v", x.Missing, err)
	}
	b.inject(lab.Fault{On: "GET */export", Do: "short", Times: 1})
	if x, err := b.zone(); err != nil || x.BIND == nil || len(x.Missing) != 0 {
		t.Errorf("a difference that passes: got %v, %v", x.Missing, err)
	}
}

func TestRequestsStopWithTheirContext(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.inject(lab.Fault{On: recordsOf, Do: "limit 30"})
	ctx, stop := context.WithCancel(t.Context())
	b.during = stop
	if _, err := b.session().Zone(ctx, "example.org", ""); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestTokensAndAddressesAreChecked(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no token":           {URL: "https://a.b", Token: ""},
		"a token with a CR":  {URL: "https://a.b", Token: "x\r\nHost: y"},
		"http":               {URL: "http://a.b", Token: "x"},
		"a bad fingerprint":  {URL: "https://a.b", Token: "x", Fingerprints: []string{"AA"}},
		"an address without": {URL: "", Token: "x"},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	b := newBench(t, func(c *Config) { c.Token = "other" })
	if _, err := b.zone(); !strings.Contains(err.Error(), "Invalid API Token") || strings.Contains(err.Error(), "other") {
		t.Errorf("got %v", err)
	}
}

func TestTheLimiterHoldsBack(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l := limiter{tokens: burst}
	for range burst {
		if w := l.take(now); w != 0 {
			t.Fatalf("got a wait of %v in the burst", w)
		}
	}
	var total time.Duration
	for range 1000 {
		w := l.take(now)
		now, total = now.Add(w), total+w
	}
	if total < 280*time.Second || total > 290*time.Second {
		t.Errorf("got %v for 1000 requests more, want about 286 s", total)
	}
	for header, want := range map[string]time.Duration{`"default";r=50;t=30`: 0, `"default";r=2;t=30`: 30 * time.Second, "": 0, "r=-1;t=x": 0,
		`"default";r=0;t=999999`: longest} {
		l := limiter{tokens: burst}
		l.learn(header)
		if got := l.take(now); got != want {
			t.Errorf("%q: got %v, want %v", header, got, want)
		}
	}
}

func TestTheRootPackageOfTheLibraryIsNotThere(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Fields(string(out))
	if len(list) < 50 {
		t.Fatalf("go list names %d packages", len(list))
	}
	for _, p := range list {
		if p == "github.com/cloudflare/cloudflare-go/v7" || strings.HasSuffix(p, "cloudflare-go/v7/zero_trust") {
			t.Errorf("%s is there: it takes minutes to compile", p)
		}
	}
}

func TestCanonicalSortsAndLeavesOut(t *testing.T) {
	for in, want := range map[string]string{
		`{"b": 1.50, "a" : [ {"d":null,"c":"x\" ,{"} , true ] }`: `{"a":[{"c":"x\" ,{","d":null},true],"b":1.50}`,
		`{"gone":1,"z":{"gone":2}}`:                              `{"z":{"gone":2}}`,
		`[]`:                                                     `[]`, ` { } `: `{}`, ``: `null`, `"\\"`: `"\\"`,
	} {
		if got, err := Canonical(json.RawMessage(in), "gone"); err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", in, got, err, want)
		}
	}
	if _, err := Canonical(json.RawMessage(`{"a":`)); err == nil {
		t.Error("broken JSON is accepted")
	}
}

func FuzzCanonical(f *testing.F) {
	f.Add([]byte(`{"b":[1,{"a":"x"}],"a":-1e3}`))
	f.Add([]byte(` { "c" : 1 , "b" : "x" , "d":{"a":"y"}, "a":"z" , "e":null} `))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := Canonical(in)
		if err != nil {
			return
		}
		var o map[string]any
		if v, ok := texts(in, "a", "b"); ok && (json.Unmarshal(in, &o) != nil || o["a"] != v[0] || o["b"] != v[1]) && utf8.Valid(in) {
			t.Fatalf("of %s: got %q, want %v", in, v, o)
		}
		again, err := Canonical(got)
		if err != nil || string(again) != string(got) {
			t.Fatalf("%s becomes %s, then %s, %v", in, got, again, err)
		}
	})
}

func FuzzReadNet(f *testing.F) {
	f.Add(`{"account":"a","lists":[{"list":{"id":"x"},"items":[{}]}],"rulesets":[{"kind":"root","phase":"a","rules":[]}],"tunnels":[{"tunnel":{"id":"t"}}],"zones":[{"id":"z","rulesets":[1]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		x, err := ReadNet(strings.NewReader(text))
		if err != nil {
			return
		}
		calls, err := x.Calls()
		for _, c := range calls {
			if err == nil && c.Body != nil && !json.Valid(c.Body) {
				t.Fatalf("body %s", c.Body)
			}
		}
	})
}
