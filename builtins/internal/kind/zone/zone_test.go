package zone

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/kind"

	"github.com/neosofia/runner/builtins/internal/format/zone"
	"github.com/neosofia/runner/runtime/ledger"
)

// aZone is the files of a small zone.
func aZone() map[string]string {
	return map[string]string{
		RecordsFile: `[
{"id":"1","name":"example.org","type":"A","content":"192.0.2.10","ttl":1,"proxied":true},
{"id":"2","name":"example.org","type":"MX","content":"mail.example.org","priority":10,"ttl":300}
]
`,
		BINDFile: "example.org.\t3600\tIN\tSOA\tada.ns.cloudflare.com. dns.cloudflare.com. 1 2 3 4 " +
			"5\nexample.org.\t86400\tIN\tNS\tada.ns.cloudflare.com.\nexample.org.\t1\tIN\tA\t192.0.2.10\nexample.org.\t300\tIN\tMX\t10 " +
			"mail.example.org.\n",
		ObjectFile: `{"zone":{"id":"z1"},"dnssec":{"status":"active"},"dns_settings":{"ns_ttl":86400},"settings":[{"editable":true,"id":"ssl","value":"strict"},{"editable":false,"id":"waf","value":"on"}]}`,
		IndexFile:  `{"zone":"example.org","id":"z1","account":"a1","records":2,"missing":null,"runner":"test"}`,
	}
}

func checkZone(t *testing.T, files map[string]string) error {
	t.Helper()
	c := Kind().Open()
	for _, name := range sortedNames(files) {
		if err := c.File(t.Context(), name, strings.NewReader(files[name])); err != nil {
			return err
		}
	}
	return c.End()
}

func sortedNames(files map[string]string) (out []string) {
	for name := range files {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func TestAZoneIsOpenedCompletely(t *testing.T) {
	edit := func(file, old, new string) func(map[string]string) {
		return func(f map[string]string) {
			if !strings.Contains(f[file], old) {
				t.Fatalf("%s does not hold %q", file, old)
			}
			f[file] = strings.Replace(f[file], old, new, 1)
		}
	}
	for _, c := range []struct {
		name string
		do   func(map[string]string)
		want string // "" is opened
	}{
		{"as it was made", func(map[string]string) {}, ""},
		{"with changes", func(f map[string]string) { f[kind.ChangesFile] = "since then:\n+ x\n" }, ""},
		{"without BIND text, and the index says so", func(f map[string]string) {
			delete(f, BINDFile)
			edit(IndexFile, "null", `[{"part":"bind","why":"403"}]`)(f)
		}, ""},
		{"without BIND text", func(f map[string]string) { delete(f, BINDFile) }, "zone.bind is there: false"},
		{"without its index", func(f map[string]string) { delete(f, IndexFile) }, "index.json is missing"},
		{"without records", edit(RecordsFile, aZone()[RecordsFile], "[]"), "no records"},
		{"another count", edit(IndexFile, `"records":2`, `"records":3`), "counts 3 records"},
		{"a record that only the JSON has", edit(BINDFile, "example.org.\t300\tIN\tMX\t10 mail.example.org.\n", ""),
			"differ in 1 records: + example.org. 300 MX"},
		{"a record that only the text has", edit(BINDFile, "192.0.2.10\n", "192.0.2.10\na.example.org. 1 IN A 192.0.2.11\n"), "- a.example.org."},
		{"another address", edit(BINDFile, "192.0.2.10", "192.0.2.66"), "differ in 1 records"},
		{"another ttl", edit(BINDFile, "\t300\t", "\t301\t"), "ttl 301 -> 300"},
		{"text that ends in the middle", edit(BINDFile, "\tMX\t10 mail.example.org.\n", "\tMX\t10"), "read zone.bind"},
		{"records that end in the middle", edit(RecordsFile, "\n]\n", ""), "read records.json"},
		{"an object that ends in the middle", edit(ObjectFile, `"on"}]}`, ""), "read zone.json"},
		{"DNSSEC that is not there", edit(ObjectFile, `"dnssec":{"status":"active"},`, ""), "disagree on dnssec"},
		{"a field that is unknown", edit(IndexFile, `"runner"`, `"runnner"`), "read index.json"},
		{"a record that cannot be read and is not a gap", func(f map[string]string) {
			edit(RecordsFile, "\n]\n", `,{"id":"9","name":"example.org","type":"TXT","content":"\"no end","ttl":1}`+"\n]\n")(f)
			edit(IndexFile, `"records":2`, `"records":3`)(f)
		}, "record example.org. TXT cannot be read (a quoted string does not end), and index.json does not say so"},
		{"a record that cannot be read and is a gap", func(f map[string]string) {
			edit(RecordsFile, "\n]\n", `,{"id":"9","name":"example.org","type":"TXT","content":"\"no end","ttl":1}`+"\n]\n")(f)
			edit(IndexFile, `"records":2`, `"records":3`)(f)
			edit(IndexFile, "null", `[{"part":"record example.org. TXT","why":"x"}]`)(f)
		}, ""},
		{"a record that only its maker could not read", func(f map[string]string) {
			edit(BINDFile, "example.org.\t300\tIN\tMX\t10 mail.example.org.\n", "; cannot be read: x\n")(f)
			edit(IndexFile, "null", `[{"part":"record example.org. MX","why":"x"}]`)(f)
		}, ""},
		{"a file that is none of a zone", func(f map[string]string) { f["extra"] = "x" }, "no file of a zone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := aZone()
			c.do(f)
			err := checkZone(t, f)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func zoneJob(t *testing.T, files map[string]string, live string) *kind.Job {
	t.Helper()
	j := &kind.Job{Into: t.TempDir(), Open: func(_ context.Context, name string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(files[name])), nil
	}}
	for _, name := range sortedNames(files) {
		j.Artifact.Files = append(j.Artifact.Files, ledger.File{Name: name})
	}
	if live != "" {
		j.Options.LiveZone = filepath.Join(t.TempDir(), "live")
		if err := os.WriteFile(j.Options.LiveZone, []byte(live), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return j
}

func saysAll(t *testing.T, j *kind.Job, words ...string) {
	t.Helper()
	all := strings.Join(j.Say, "\n")
	for _, w := range words {
		if !strings.Contains(all, w) {
			t.Errorf("%q is not in\n%s", w, all)
		}
	}
}

func TestAZoneComesBackWithItsCalls(t *testing.T) {
	j := zoneJob(t, aZone(), "")
	if err := recoverZone(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	for name, want := range aZone() {
		if got, err := os.ReadFile(filepath.Join(j.Into, name)); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	dir := filepath.Join(j.Into, "calls")
	saysAll(t, j, `curl --fail-with-body -sS -X POST "$API/zones/z1/dns_records/batch"`, "--data @"+dir+"/001.json   # records 1 to 2",
		`-X PATCH "$API/zones/z1/dns_settings"`, `-X PATCH "$API/zones/z1/settings"`, "sed -E", "named-checkzone example.org",
		"1 names that Cloudflare stands in front of (example.org.)", "DNSSEC", "--live live.json")
	for file, want := range map[string]string{
		"001.json": `{"posts":[{"content":"192.0.2.10","name":"example.org","proxied":true,"ttl":1,"type":"A"},{"content":"mail.example.org","name":"example.org","priority":10,"ttl":300,"type":"MX"}]}`,
		"002.json": `{"ns_ttl":86400}`, "003.json": `{"items":[{"id":"ssl","value":"strict"}]}`,
	} {
		if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", file, got, err, want)
		}
	}
}

func TestALiveZoneIsComparedWith(t *testing.T) {
	files := aZone()
	answer := func(records string, total int) string {
		return fmt.Sprintf(`{"success":true,"errors":[],"result":%s,"result_info":{"total_count":%d}}`, records, total)
	}
	one := `[{"name":"example.org","type":"A","content":"192.0.2.10","ttl":1,"proxied":true},{"name":"new.example.org","type":"A","content":"192.0.2.77","ttl":1}]`
	for _, c := range []struct {
		name, live string
		words      []string
		posts      int
	}{
		{"the same records", files[RecordsFile], []string{"holds the same records"}, 0},
		{"the same text", files[BINDFile], []string{"holds the same records"}, 0},
		{"text with relative names", "$TTL 300\n@ 1 A 192.0.2.10\n@ MX 10 mail\n", []string{"holds the same records"}, 0},
		{"an answer of the API", answer(one, 2), []string{"1 records to add, 1 that the copy does not have, 0 changed",
			"+ example.org. 300 MX 10 mail.example.org.", "- new.example.org. auto A 192.0.2.77"}, 1},
		{"text that lacks one", strings.Replace(files[BINDFile], "example.org.\t300\tIN\tMX\t10 mail.example.org.\n", "", 1),
			[]string{"+ example.org. 300 MX 10 mail.example.org."}, 1},
		{"a proxy that was switched off", strings.Replace(files[RecordsFile], `"proxied":true`, `"proxied":false`, 1),
			[]string{"~ example.org. A: proxied false -> true"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := zoneJob(t, files, c.live)
			if err := recoverZone(t.Context(), j); err != nil {
				t.Fatal(err)
			}
			saysAll(t, j, c.words...)
			raw, err := os.ReadFile(filepath.Join(j.Into, "calls", "001.json"))
			if err != nil {
				t.Fatal(err)
			}
			var body struct{ Posts []any }
			if err := json.Unmarshal(raw, &body); err != nil || len(body.Posts) != c.posts {
				t.Errorf("got %s, want %d posts", raw, c.posts)
			}
		})
	}
	for name, live := range map[string]string{"a part of the answer": answer(one, 3), "a failed answer": `{"success":false}`,
		"no zone": "<html>"} {
		if err := recoverZone(t.Context(), zoneJob(t, files, live)); err == nil || !strings.Contains(err.Error(), "read the live zone") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestADamagedZoneDoesNotComeBackInSilence(t *testing.T) {
	files := aZone()
	files[BINDFile] = strings.Replace(files[BINDFile], "192.0.2.10", "192.0.2.66", 1)
	if err := recoverZone(t.Context(), zoneJob(t, files, "")); err == nil || !strings.Contains(err.Error(), "open the zone") {
		t.Errorf("got %v", err)
	}
	files = aZone()
	files[IndexFile] = strings.Replace(files[IndexFile], `"id":"z1"`, `"id":"z1\"; reboot"`, 1)
	if err := recoverZone(t.Context(), zoneJob(t, files, "")); err == nil || !strings.Contains(err.Error(), "bad identifier") {
		t.Errorf("got %v", err)
	}
}

// A checker survives whatever a medium holds.
func FuzzZoneChecker(f *testing.F) {
	files := aZone()
	f.Add(files[RecordsFile], files[BINDFile], files[ObjectFile], files[IndexFile])
	f.Fuzz(func(t *testing.T, records, bind, object, index string) {
		c := &zoneChecker{}
		for name, text := range map[string]string{RecordsFile: records, BINDFile: bind, ObjectFile: object, IndexFile: index} {
			if c.File(t.Context(), name, strings.NewReader(text)) != nil {
				return
			}
		}
		if c.End() == nil && !zone.Missing(c.bind, c.records, c.index.Zone).Empty() {
			t.Fatal("two forms that differ were opened")
		}
	})
}
