package proxmox

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestSchemaAndHandlersAgree(t *testing.T) {
	s, err := loadSchema()
	must(t, err)
	served := handlers()
	n := 0
	for path, methods := range s.Paths {
		for name, m := range methods {
			if m == nil {
				continue
			}
			n++
			if served[name+" "+path] == nil {
				t.Errorf("%s %s is served by the schema and has no handler", name, path)
			}
		}
	}
	if n != len(served) {
		t.Errorf("handlers: got %d, want the %d of the schema", len(served), n)
	}
}

func TestKeepRules(t *testing.T) {
	c := openCluster(t, t.TempDir())
	t.Cleanup(func() { must(t, c.Close()) })
	var list []archive
	for _, at := range []string{ // newest first, node time
		"2026_11_23-23_30_00", "2026_11_23-02_00_00", "2026_11_22-02_00_00", "2026_11_16-02_00_00", "2026_10_31-02_00_00", "2025_12_31-23_30_00",
	} {
		a, ok := c.parseArchive("backup", "vzdump-qemu-100-"+at+".vma.zst")
		if !ok {
			t.Fatalf("archive of %s is not recognised", at)
		}
		list = append(list, a)
	}
	cases := []struct{ rule, want string }{
		{"", "kkkkkk"}, {"keep-all=1", "kkkkkk"}, {"keep-last=2", "kkrrrr"}, {"keep-daily=2", "krkrrr"}, {"keep-last=1,keep-daily=1", "krkrrr"},
		{"keep-weekly=2", "krkrrr"}, {"keep-monthly=2", "krrrkr"}, {"keep-yearly=5", "krrrrk"}, {"keep-last=2,keep-monthly=1", "kkrrkr"},
	}
	for _, tc := range cases {
		k, err := parseKeep(tc.rule)
		must(t, err)
		got := ""
		for _, m := range mark(list, k, c.zone, 0, "") {
			got += m.mark[:1]
		}
		if got != tc.want {
			t.Errorf("%q: got %s, want %s", tc.rule, got, tc.want)
		}
	}
}

func TestConfRoundTrip(t *testing.T) {
	c, err := parseConf(erpConf)
	must(t, err)
	if got := c.text(); got != erpConf {
		t.Errorf("got %q, want %q", got, erpConf)
	}
}

func FuzzConf(f *testing.F) {
	f.Add(erpConf)
	f.Add(mailConf)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseConf(text)
		if err != nil {
			return
		}
		again, err := parseConf(c.text())
		if err != nil || again.text() != c.text() {
			t.Errorf("%q does not survive printing and parsing: %v", text, err)
		}
		c.disks()
	})
}

// FuzzParameters sends any query and body against a strict method.
func FuzzParameters(f *testing.F) {
	s, err := loadSchema()
	if err != nil {
		f.Fatal(err)
	}
	m := s.Paths["/nodes/{node}/qemu"]["POST"]
	f.Add("vmid=100&net0=virtio%2Cbridge=vmbr0", []byte(`{"a":[1,"b",true]}`))
	f.Fuzz(func(t *testing.T, query string, body []byte) {
		for _, kind := range []string{"application/json", "application/x-www-form-urlencoded"} {
			r := &http.Request{URL: &url.URL{RawQuery: query}, Header: http.Header{"Content-Type": {kind}}}
			params, err := parameters(r, body)
			if err == nil {
				m.check(params)
			}
		}
	})
}

// FuzzRequest sends any bytes as a request.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/api2/json/nodes/pve1/storage/backup/content/backup:backup/x")
	f.Add("DELETE", "/api2/json/nodes/pve1/tasks/UPID:a:b")
	s, err := loadSchema()
	if err != nil {
		f.Fatal(err)
	}
	c := &Cluster{schema: s}
	f.Fuzz(func(t *testing.T, method, path string) {
		r := &request{method: method, path: path, s: &state{Nodes: []string{"pve1"}}}
		if template, err := c.route(r, path); err == nil && s.Paths[template] == nil {
			t.Errorf("%q is routed to %q, which the schema does not have", path, template)
		}
	})
}

func TestShuffledKeepsTheValue(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		b, err := shuffled(map[string]any{"a": 1, "b": []any{nil, "x"}, "c": map[string]any{"d": true}})
		must(t, err)
		seen[string(b)] = true
		for _, part := range []string{`"a":1`, `"b":[null,"x"]`, `"c":{"d":true}`} {
			if !bytes.Contains(b, []byte(part)) {
				t.Fatalf("got %s, want %s in it", b, part)
			}
		}
	}
	if len(seen) < 2 {
		t.Error("50 answers have one order of keys")
	}
}

func TestHowNumbersAndWordsArePrinted(t *testing.T) {
	if got := renderBytes(1536<<20, 2); got != "1.50 GiB" {
		t.Errorf("got %q, want 1.50 GiB", got)
	}
	if got := shellQuote("{{guestname}} it's"); !strings.HasPrefix(got, "'") || got != `'{{guestname}} it'\''s'` {
		t.Errorf("got %s", got)
	}
	for n, want := range map[int64]string{36 << 10: "36KB", 1 << 20: "1MB", 3 << 30: "3.00GB"} {
		if got := fileSize(n); got != want {
			t.Errorf("size of %d: got %s, want %s", n, got, want)
		}
	}
}
