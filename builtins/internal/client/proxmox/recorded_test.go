package proxmox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// played answers as a true Proxmox VE did in recorded scenarios: the same request gets the
// same answer, the later one counts. What was not recorded is answered by also, or 501.
func played(t *testing.T, also func(path string) string, names ...string) *Client {
	t.Helper()
	type answer struct {
		Status int
		Reason string
		Body   json.RawMessage
	}
	answers := map[string]answer{}
	for _, name := range names {
		for _, c := range recordings(t, name) {
			path := strings.TrimPrefix(c.Request.URL, "/api2/json")
			answers[c.Request.Method+" "+strings.NewReplacer("%2F", "/", "%21", "!", "%3A", ":").Replace(path)] = answer{c.Status, c.Reason, c.Body}
		}
	}
	s, pin := node(t, func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.RequestURI(), "/api2/json")
		a, ok := answers[r.Method+" "+strings.NewReplacer("%2F", "/", "%21", "!", "%3A", ":").Replace(path)]
		if text := also(path); !ok && text != "" {
			a, ok = answer{200, "OK", json.RawMessage(text)}, true
		}
		if !ok {
			a = answer{501, "Method '" + r.Method + " " + path + "' not implemented", json.RawMessage(`{"data":null}`)}
		}
		raw(t, fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Type: application/json;charset=UTF-8\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
			a.Status, a.Reason, len(a.Body), a.Body))(w, r)
	})
	return client(t, pin, s.URL)
}

func nothing(string) string { return "" }

// free answers that a VMID is, and that an invented path has README's rights.
func free(path string) string {
	if id, ok := strings.CutPrefix(path, "/cluster/nextid?vmid="); ok {
		return `{"data":"` + id + `"}`
	}
	return ""
}

func TestTheSizeOfAnArchiveIsThatOfTheList(t *testing.T) {
	c := played(t, nothing, "volume-sizes")
	v, err := c.Archive(t.Context(), "pve1", "backup:backup/vzdump-qemu-121-2026_11_28-06_02_20.vma.zst")
	if err != nil || v.Size != 86931 || v.Path != "/srv/backup/dump/vzdump-qemu-121-2026_11_28-06_02_20.vma.zst" ||
		v.Notes != "runner:20261128T060219Z-4ec6c8/0" {
		t.Errorf("got %+v, %v: the single answer says 87040, the file has 86931 bytes", v, err)
	}
	_, err = c.Archive(t.Context(), "pve1", "backup:backup/vzdump-qemu-121-2026_01_01-00_00_00.vma.zst")
	if !Gone(err) {
		t.Errorf("an archive that is not there: got %v", err)
	}
}

// An archive that the token may not see is in no list, and it is not gone.
func TestAnArchiveThatIsHiddenIsNotGone(t *testing.T) {
	c := played(t, nothing, "hidden-guest")
	_, err := c.Archive(t.Context(), "pve1", "backup:backup/vzdump-qemu-121-2026_11_28-06_02_20.vma.zst")
	if err == nil || Gone(err) || !strings.Contains(err.Error(), "(/vms/121, VM.Backup)") {
		t.Errorf("got %v", err)
	}
}

func TestAGuestBehindADeeperACLIsFound(t *testing.T) {
	c := played(t, free, "hidden-guest")
	guests, err := c.Guests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(guests, func(g Guest) bool { return g.VMID == 121 }) {
		t.Fatal("the recording shows the guest")
	}
	hidden, whole, err := c.Hidden(t.Context(), guests, nil)
	if err != nil || !whole || !slices.Contains(hidden, 121) || slices.Contains(hidden, 120) {
		t.Errorf("got %v, %v, %v", hidden, whole, err)
	}
	may, err := c.May(t.Context(), Right{"/vms/121", []string{"VM.Audit"}})
	if err != nil || may {
		t.Errorf("the right to it: got %v, %v", may, err)
	}
	all, err := c.SeesAllGuests(t.Context())
	if err != nil || !all {
		t.Errorf("the list of rights says nothing of it: got %v, %v", all, err)
	}
}

func TestWhatTheNodeSetsForEveryVzdump(t *testing.T) {
	c := played(t, nothing, "vzdump-defaults")
	d, err := c.BackupDefaults(t.Context(), "pve1", "backup") // the last one recorded
	if err != nil || !slices.Equal(d.ExcludePath, []string{"/srv/a b", "/srv/x", "/y"}) ||
		!reflect.DeepEqual(d.Set, map[string]string{"exclude-path": "/srv/a b,/srv/x,/y"}) || !d.Stdexcludes {
		t.Errorf("got %+v, %v", d, err)
	}
	for _, rec := range recordings(t, "vzdump-defaults") {
		if !strings.Contains(string(rec.Body), "tmpdir") {
			continue
		}
		var body struct{ Data map[string]json.RawMessage }
		if err := json.Unmarshal(rec.Body, &body); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"bwlimit": "20000", "exclude-path": "/srv/nicht,/var/cache/*", "tmpdir": "/var/tmp"}
		if d := defaultsOf(body.Data); !reflect.DeepEqual(d.Set, want) || len(d.ExcludePath) != 2 {
			t.Errorf("got %+v, want %v", d, want)
		}
	}
	if _, err := c.BackupDefaults(t.Context(), "pve1", "nope"); err == nil || !strings.Contains(err.Error(), "Datastore.Audit") {
		t.Errorf("without the right: got %v", err)
	}
}

// rightsTo answers for paths whose rights were not asked for in the recording.
func rightsTo(privileges ...string) func(string) string {
	return func(path string) string {
		at, ok := strings.CutPrefix(path, "/access/permissions?path=")
		if !ok {
			return free(path)
		}
		have := map[string]int{}
		for _, p := range privileges {
			have[p] = 1
		}
		out, _ := json.Marshal(map[string]any{"data": map[string]any{strings.ReplaceAll(at, "%2F", "/"): have}})
		return string(out)
	}
}

func TestExportsOfATrueClusterAreWholeOrSayWhatIsNot(t *testing.T) {
	for _, c := range []struct {
		scenario string
		rights   []string
		gaps     map[string]string
		holds    []string
	}{
		{"firewall-export-full", []string{"SDN.Audit"}, nil, []string{"cluster/rules", "sdn/vnets/vn1/rules", "sdn/vnets/vn1/subnets",
			"guest/100/ipset/ipfilter-net0", "node/pve1/network"}},
		{"firewall-export-unapplied-vnet", []string{"SDN.Audit"}, map[string]string{"sdn/vnets/vn2/options": "not applied yet"},
			[]string{"cluster/rules", "sdn/vnets/vn1/rules"}},
		{"no-SDN.Audit", nil, map[string]string{"sdn/zones": "(/sdn/zones, SDN.Audit|SDN.Allocate)", "sdn/vnets": "SDN.Audit",
			"sdn/ipams": "SDN.Audit", "sdn/dns": "SDN.Audit", "sdn/controllers": "SDN.Audit",
			"sdn/fabrics": "SDN.Audit", "node/pve1/network": "(/sdn/zones/localnetwork, SDN.Audit|SDN.Use)"}, []string{"cluster/rules"}},
		{"no-Sys.Audit", []string{"SDN.Audit"}, map[string]string{"cluster/rules": "(/, Sys.Audit)", "cluster/options": "(/, Sys.Audit)",
			"node/pve1/rules": "(/nodes/pve1, Sys.Audit)"}, []string{"guest/100/rules"}},
	} {
		t.Run(c.scenario, func(t *testing.T) {
			d, err := played(t, func(path string) string {
				if path == "/cluster/nextid" {
					return `{"data":"104"}`
				}
				return rightsTo(c.rights...)(path)
			}, c.scenario).Firewall(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			gaps := map[string]string{}
			for _, m := range d.Missing {
				gaps[m.Part] = m.Why
			}
			for part, why := range c.gaps {
				if !strings.Contains(gaps[part], why) {
					t.Errorf("%s: got gap %q, want %q", part, gaps[part], why)
				}
			}
			for _, part := range c.holds {
				if s := d.Section(part); s == nil || len(s.Entries) == 0 && !strings.HasPrefix(part, "guest/100/rules") || gaps[part] != "" {
					t.Errorf("%s is not in the export (%s)", part, gaps[part])
				}
			}
			if len(c.gaps) == 0 && len(gaps) > 0 {
				t.Errorf("got gaps %v", gaps)
			}
		})
	}
}

func TestTheRightThatAListNeeds(t *testing.T) {
	for path, want := range map[string]string{
		"/cluster/sdn/zones":                    "/sdn/zones, SDN.Audit|SDN.Allocate",
		"/cluster/sdn/vnets/vn1/subnets":        "/sdn/zones, SDN.Audit|SDN.Allocate",
		"/cluster/sdn/route-maps/entries":       "/sdn, SDN.Audit|SDN.Allocate",
		"/nodes/pve1/network":                   "/sdn/zones/localnetwork, SDN.Audit|SDN.Use",
		"/nodes/pve1/tasks?limit=2":             "/nodes/pve1, Sys.Audit",
		"/nodes/pve1/storage/backup/content":    "/vms, VM.Backup",
		"/cluster/firewall/rules":               "",
		"/nodes/pve1/qemu/100/firewall/rules":   "",
		"/cluster/sdn/vnets/vn1/firewall/rules": "",
	} {
		right, ok := filterOf(path)
		if got := right.String(); ok != (want != "") || ok && got != want {
			t.Errorf("%s: got %s, want %q", path, got, want)
		}
	}
}

// However the VMIDs lie, what is asked for is bounded, begins with what was known, and has
// what is near.
func TestVMIDsThatAreAskedFor(t *testing.T) {
	list := func(ids ...Int) (out []Guest) {
		for _, id := range ids {
			out = append(out, Guest{VMID: id})
		}
		return out
	}
	for name, c := range map[string]struct {
		listed []Guest
		first  Int
		also   []Int
		want   []Int
		most   int
	}{
		"none":             {nil, 100, nil, []Int{101}, probes + 10},
		"a gap":            {list(100, 101, 103), 102, nil, []Int{102, 104}, probes + 10},
		"known once":       {list(100), 101, []Int{7777}, []Int{7777, 101}, probes + 10},
		"far apart":        {list(100, 999999999), 101, nil, []Int{101, 999999998}, probes + 10},
		"before the first": {list(900), 105, nil, []Int{100, 104, 901}, probes + 1000},
	} {
		got := candidates(c.listed, c.first, c.also)
		for _, id := range c.want {
			if !slices.Contains(got, id) {
				t.Errorf("%s: %d is not asked for", name, id)
			}
		}
		for _, g := range c.listed {
			if slices.Contains(got, g.VMID) {
				t.Errorf("%s: %d is listed", name, g.VMID)
			}
		}
		if len(got) > c.most || len(c.also) > 0 && got[0] != c.also[0] {
			t.Errorf("%s: %d are asked for, the first %d", name, len(got), got[0])
		}
	}
}
