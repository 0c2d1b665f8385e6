package proxmox

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/lab/fault"
)

// The recorded answers of a real Proxmox VE 9.2 are played again: the lab is
// brought into the state of the recording, each recorded request is sent, and
// the answer must be the same: status, reason phrase, keys and types of the
// body, exact text of errors, and the lines of task logs with numbers, times
// and ids masked.
//
// testdata/answers.jsonl holds the recorded calls to what the lab serves, and
// those that a node answers with 501. Recorded, but not served and therefore
// not there:
//
//	/access/acl, roles, users, ticket     tokens come with the world; clients
//	                                      that log in with a password are none
//	                                      of ours
//	…/firewall                            read only; TestFirewallAnswersAsRecorded
//	…/snapshot, /pools, PUT /storage      change the site; tests do that
//	                                      through the world's methods
//	POST, PUT /cluster/backup, included_volumes, schedule-analyze
//	                                      jobs are read only
//	/cluster/log, tasks, options, replication, ha,
//	rrddata, GET /                        nothing asks for them

// recording is one line of testdata/answers.jsonl.
type recording struct {
	Name    string
	Request struct{ Method, URL, Auth, Body string }
	Status  int
	Reason  string
	Body    any
}

// leftOut names the recorded calls to served paths that are not played.
var leftOut = map[string]string{
	"ticket-get":      "the lab has no tickets: clients use API tokens",
	"lxc-config-put":  "the error comes from a cgroup file that the recording's kernel lacked",
	"vzdump-pool-log": "the recording's QEMU could not start, with lines of its own; the job's shape is played by the other logs",
}

// stage is a cluster in the state of the recording.
type stage struct {
	t      *testing.T
	c      *Cluster
	base   string
	recs   map[string]recording
	order  []string
	played map[string]bool
	upids  map[string]string // recorded -> of this run
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, recs: map[string]recording{}, played: map[string]bool{}, upids: map[string]string{}}
	f, err := os.Open("testdata/answers.jsonl")
	must(t, err)
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var r recording
		must(t, json.Unmarshal(in.Bytes(), &r))
		s.recs[r.Name] = r
		s.order = append(s.order, r.Name)
	}
	must(t, in.Err())
	s.c = openCluster(t, t.TempDir())
	s.base = serve(t, s.c)
	s.guests()
	return s
}

// guests replaces the lab's guests by those of the recording.
func (s *stage) guests() {
	t, c := s.t, s.c
	old, err := c.Guests()
	must(t, err)
	for _, g := range old {
		must(t, c.RemoveGuest(g.ID))
	}
	must(t, c.AddGuest(Guest{ID: 100, Kind: "qemu", Node: "pve1", Name: "vm100", Agent: "down", Config: map[string]string{
		"agent": "1", "boot": "order=scsi0;net0", "cores": "1", "memory": "256", "meta": "creation-qemu=10.0.13,ctime=1795416356",
		"net0": "virtio=BC:24:11:6D:F7:40,bridge=vmbr0,firewall=1", "onboot": "1", "ostype": "l26",
		"scsi0":  "local:100/vm-100-disk-0.raw,size=4M",
		"scsihw": "virtio-scsi-single", "smbios1": "uuid=cf3ebdbc-6570-4396-9a3e-de8c86942789", "tags": "prod;web",
		"vmgenid": "72edefcf-961e-4437-8c5b-7f1568331c3e",
	}}))
	must(t, c.editConf("pve1", "qemu", 100, func(g *guest) error { g.conf.comments = []string{"test vm"}; return nil }))
	must(t, writeFile(c.firewallPath(&state{Nodes: []string{"pve1"}}, 100), []byte("[OPTIONS]\nenable: 1\n")))
	for id, name := range map[int]string{101: "ct101", 201: "restored201"} {
		must(t, c.AddGuest(Guest{ID: id, Kind: "lxc", Node: "pve1", Name: name, Running: id == 101, Config: map[string]string{
			"arch": "amd64", "cores": "1", "memory": "128",
			"net0":   fmt.Sprintf("name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:31:3E:%d,ip=10.77.0.101/24,type=veth", id%100+10),
			"ostype": "debian", "rootfs": fmt.Sprintf("local:%d/vm-%d-disk-0.raw,size=1G", id, id), "swap": "0", "unprivileged": "1",
		}}))
		path, err := c.Disk(id, "rootfs")
		must(t, err)
		must(t, os.WriteFile(filepath.Join(path, "file"), []byte("content\n"), 0o644))
	}
	must(t, c.change(func(st *state) error { st.Pools = nil; return nil }))
	must(t, c.SetStorage("local", func(st *Storage) { st.Content = "images,vztmpl,snippets,backup,iso,rootdir" }))
}

// send plays one recorded request and returns the answer.
func (s *stage) send(r recording, body string) (*http.Response, any, string) {
	s.t.Helper()
	u := r.Request.URL
	for was, now := range s.upids {
		for _, esc := range []func(string) string{escape, func(v string) string { return v }} {
			u = strings.ReplaceAll(u, esc(was), esc(now))
		}
	}
	req, err := http.NewRequest(r.Request.Method, s.base+u, strings.NewReader(body))
	must(s.t, err)
	if r.Request.Method == "POST" || r.Request.Method == "PUT" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		req.Body, req.ContentLength = nil, 0
	}
	switch r.Request.Auth {
	case "token":
		req.Header.Set("Authorization", "PVEAPIToken=root@pam!t1=s")
	case "token-other":
		req.Header.Set("Authorization", "PVEAPIToken=op@pve!gp=s")
		if r.Name == "err-badtoken" {
			req.Header.Set("Authorization", "PVEAPIToken=op@pve!gp=wrong")
		}
	}
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(s.t, err)
	var got any
	if len(raw) > 0 {
		must(s.t, json.Unmarshal(raw, &got))
	}
	return resp, got, strings.TrimPrefix(resp.Status, fmt.Sprintf("%d ", resp.StatusCode))
}

func escape(s string) string {
	return strings.NewReplacer(":", "%3A", "@", "%40", "!", "%21").Replace(s)
}

// play sends recorded requests in turn and compares the answers. A task that
// begins is waited for, unless its name is given with a "&" before it.
func (s *stage) play(names ...string) {
	s.t.Helper()
	for _, name := range names {
		name, background := strings.CutPrefix(name, "&")
		r, ok := s.recs[name]
		if !ok {
			s.t.Fatalf("no recording %q", name)
		}
		s.played[name] = true
		body := r.Request.Body
		if name == "vzdump-qemu-suspend-post" {
			body = strings.Replace(body, "lzo", "zstd", 1) // the lab has no lzo
		}
		resp, got, reason := s.send(r, body)
		if resp.StatusCode != r.Status || reason != r.Reason {
			s.t.Errorf("%s: got %d %q (%v), want %d %q", name, resp.StatusCode, reason, got, r.Status, r.Reason)
			continue
		}
		if resp.StatusCode >= 400 && !resp.Close {
			s.t.Errorf("%s: the connection stays open after %d, want it closed", name, resp.StatusCode)
		}
		s.compare(r, got)
		if upid := dataUPID(got); upid != "" {
			s.upids[dataUPID(r.Body)] = upid
			if !background {
				s.wait(upid)
			}
		}
	}
}

func (s *stage) wait(upid string) {
	s.t.Helper()
	if _, err := s.c.Wait(s.t.Context(), upid); err != nil {
		s.t.Fatal(err)
	}
}

func dataUPID(body any) string {
	m, _ := body.(map[string]any)
	upid, _ := m["data"].(string)
	if !strings.HasPrefix(upid, "UPID:") {
		return ""
	}
	return upid
}

func (s *stage) compare(r recording, got any) {
	s.t.Helper()
	switch {
	case r.Status >= 400:
		if fmt.Sprint(got) != fmt.Sprint(r.Body) {
			s.t.Errorf("%s: got body %v, want %v", r.Name, got, r.Body)
		}
	case strings.HasSuffix(r.Name, "-log") || strings.HasPrefix(r.Name, "task-log"):
		compareLog(s.t, r.Name, logLines(got), logLines(r.Body))
	default:
		for _, d := range diffShape(shapeOf(got), shapeOf(r.Body)) {
			s.t.Errorf("%s: %s", r.Name, d)
		}
		exit := func(v any) any { m, _ := v.(map[string]any)["data"].(map[string]any); return m["exitstatus"] }
		if g, w := exit(got), exit(r.Body); mask(fmt.Sprint(g)) != mask(fmt.Sprint(w)) {
			s.t.Errorf("%s: got exitstatus %v, want %v", r.Name, g, w)
		}
	}
}

func logLines(body any) []string {
	m, _ := body.(map[string]any)
	list, _ := m["data"].([]any)
	var out []string
	for _, e := range list {
		line, _ := e.(map[string]any)
		out = append(out, fmt.Sprint(line["t"]))
	}
	return out
}

func compareLog(t *testing.T, name string, got, want []string) {
	t.Helper()
	for i := 0; i < len(got) || i < len(want); i++ {
		g, w := "(nothing)", "(nothing)"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if mask(g) != mask(w) {
			t.Errorf("%s line %d:\n got %q\nwant %q", name, i+1, g, w)
			return
		}
	}
}

var masks = []struct {
	re *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`^Formatting '([^']*)', fmt=.*`), "Formatting FILE"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`vzdump-(qemu|lxc)-(\d+)-\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d`), "vzdump-$1-$2-TIME"},
	{regexp.MustCompile(`backup is sparse: .*|total bytes read .*`), "SPARSE"},
	{regexp.MustCompile(`transferred \S+ \S+ in .*seconds.*`), "TRANSFERRED"},
	{regexp.MustCompile(`\.(zst|lzo|gz|qcow2|raw)`), ".EXT"},
	{regexp.MustCompile(`--compress lzo`), "--compress zstd"},
	{regexp.MustCompile(`CTIME: .*`), "CTIME"},
	{regexp.MustCompile(`[0-9.]+ ?([KMGT]i?)?B`), "SIZE"},
	{regexp.MustCompile(`transferred \S+ bytes`), "transferred SIZE bytes"},
	{regexp.MustCompile(`\d+(\.\d+)?`), "N"},
	{regexp.MustCompile(`after <?N seconds`), "after N seconds"},
	{regexp.MustCompile(`N, N, N, N`), "N"},
	{regexp.MustCompile(`CT Name: \S+`), "CT Name: NAME"},
	{regexp.MustCompile(`' N[KMGT]$`), "' SIZE"},
	{regexp.MustCompile(`'--bwlimit=N' `), ""},
}

// mask replaces what differs between two runs; the options of a job, whose
// order is random, are sorted.
func mask(line string) string {
	for _, m := range masks {
		line = m.re.ReplaceAllString(line, m.to)
	}
	if head, rest, ok := strings.Cut(line, "new backup job: vzdump"); ok {
		opts := strings.Split(rest, " --")
		sort.Strings(opts[1:])
		line = head + strings.Join(opts, " --")
	}
	return line
}

// shapeOf turns a JSON value into its keys and types. The elements of a list
// become one: what some have and others lack is marked with "?".
func shapeOf(v any) map[string]string {
	out := map[string]string{}
	addShape(out, "", v)
	return out
}

func addShape(out map[string]string, at string, v any) {
	switch v := v.(type) {
	case map[string]any:
		out[at] += "object "
		for k, e := range v {
			if k == "blockstat" || k == "nics" || (at == ".data" && strings.HasPrefix(k, "/")) {
				continue // keyed by devices and by paths
			}
			addShape(out, at+"."+k, e)
		}
	case []any:
		out[at] += "list "
		count := map[string]int{}
		for _, e := range v {
			one := shapeOf(e)
			for k, kind := range one {
				count[k]++
				if !strings.Contains(out[at+"[]"+k], kind) {
					out[at+"[]"+k] += kind
				}
			}
		}
		for k, n := range count {
			if n < len(v) {
				out[at+"[]"+k] += "? "
			}
		}
	case nil:
		out[at] += "null "
	default:
		out[at] += map[string]string{"string": "string ", "float64": "number ", "bool": "bool "}[fmt.Sprintf("%T", v)]
	}
}

// diffShape lists what the lab's answer has and the recorded one has not, and
// the reverse. Keys that the recording has on some elements only may miss.
func diffShape(got, want map[string]string) []string {
	var out []string
	for k, g := range got {
		w, ok := want[k]
		if !ok {
			out = append(out, fmt.Sprintf("key %s (%s) is not in the recording", k, g))
			continue
		}
		for _, kind := range strings.Fields(g) {
			if kind != "?" && !strings.Contains(w, kind) {
				out = append(out, fmt.Sprintf("key %s: got %s, want %s", k, g, w))
			}
		}
	}
	for k, w := range want {
		if _, ok := got[k]; !ok && !strings.Contains(w, "?") {
			out = append(out, fmt.Sprintf("key %s (%s) of the recording is missing", k, w))
		}
	}
	sort.Strings(out)
	return out
}

func (s *stage) inject(faults ...fault.Fault) {
	s.t.Helper()
	must(s.t, s.c.cfg.Faults.Replace(faults))
}

func (s *stage) rights(acl map[string][]string) {
	s.t.Helper()
	must(s.t, s.c.SetToken("op@pve!gp", &Token{Secret: "s", ACL: acl}))
}

func TestReplay(t *testing.T) {
	s := newStage(t)
	s.inventory()
	s.rightless()
	s.errors()
	s.archives()
	s.backups()
	s.restores()
	s.power()
	for _, name := range s.order {
		if why := leftOut[name]; !s.played[name] && why == "" {
			t.Errorf("recording %s is neither played nor left out with a reason", name)
		}
	}
}
