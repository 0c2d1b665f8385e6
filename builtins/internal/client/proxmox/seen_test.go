package proxmox

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// neverSeen are calls of ours of which there is no answer of a true Proxmox VE.
var neverSeen = map[string]string{
	"GET /cluster/sdn/prefix-lists":       "the recorded installation was without that part and answered 501",
	"GET /cluster/sdn/route-maps/entries": "the recorded installation was without that part and answered 501",
	"GET /cluster/sdn/fabrics/all":        "a stand-in answered on the recorded installation",
}

var (
	guestPart = regexp.MustCompile(`/(qemu|lxc)/\d+`)
	nodePart  = regexp.MustCompile(`^/nodes/[^/]+`)
	taskPart  = regexp.MustCompile(`/tasks/UPID[^/]*`)
	storePart = regexp.MustCompile(`/storage/[^/?]+`)
	vnetPart  = regexp.MustCompile(`/vnets/[^/]+`)
	setPart   = regexp.MustCompile(`/(ipset|groups)/[^/]+`)
)

// shape is a call without the names of what it is about.
func shape(method, raw string) string {
	path, query, _ := strings.Cut(strings.TrimPrefix(raw, "/api2/json"), "?")
	if i := strings.Index(path, "/content/"); i > 0 {
		path = path[:i] + "/content/A"
	}
	path = nodePart.ReplaceAllString(path, "/nodes/N")
	path = taskPart.ReplaceAllString(path, "/tasks/T")
	path = guestPart.ReplaceAllString(path, "/$1/V")
	path = storePart.ReplaceAllString(path, "/storage/S")
	path = vnetPart.ReplaceAllString(path, "/vnets/X")
	path = setPart.ReplaceAllString(path, "/$1/X")
	values, _ := url.ParseQuery(query)
	if keys := slices.Sorted(maps.Keys(values)); len(keys) > 0 {
		path += "?" + strings.Join(keys, "&")
	}
	return method + " " + path
}

const recorded = "../../../lab/proxmox/testdata/"

// recording is one recorded call.
type recording struct {
	Request struct{ Method, URL string }
	Status  int
	Reason  string
	Body    json.RawMessage
}

// recordings reads the calls of a scenario; "" is the first, long one.
func recordings(t *testing.T, name string) (out []recording) {
	t.Helper()
	file := recorded + "answers.jsonl"
	if name != "" {
		file = recorded + "scenarios/" + name + ".jsonl.gz"
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if name != "" {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	in := bufio.NewScanner(r)
	in.Buffer(nil, 4<<20)
	for in.Scan() {
		var c recording
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// seen are the calls that recordings have answers to.
func seen(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(recorded + "scenarios/*.jsonl.gz")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	out := map[string]bool{}
	for _, file := range append(files, "") {
		name := ""
		if file != "" {
			name = strings.TrimSuffix(filepath.Base(file), ".jsonl.gz")
		}
		for _, c := range recordings(t, name) {
			if c.Status != 501 {
				out[shape(c.Request.Method, c.Request.URL)] = true
			}
		}
	}
	return out
}

// Every call of the client is one that a true Proxmox VE was seen to answer, or stands in
// the list above with the reason. Every method of the client is called.
func TestEveryCallWasSeenTrue(t *testing.T) {
	var mu sync.Mutex
	made := map[string]bool{}
	s, pin := node(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		made[shape(r.Method, r.URL.RequestURI())] = true
		mu.Unlock()
		path := strings.TrimPrefix(r.URL.Path, "/api2/json")
		const task = `"UPID:pve1:0000073B:000D84E6:6B0A6E67:vzdump:120:runner@pve!runner:"`
		answer := `[]`
		switch {
		case path == "/nodes":
			answer = `[{"node":"pve1","status":"online"},{"node":"pve2","status":"offline"}]`
		case path == "/nodes/pve1/qemu" && r.Method == "GET":
			answer = `[{"vmid":100,"name":"a","status":"running"}]`
		case path == "/nodes/pve1/lxc" && r.Method == "GET":
			answer = `[{"vmid":101,"name":"b","status":"running"}]`
		case path == "/access/permissions":
			answer = fmt.Sprintf(`{%q:{"VM.Audit":1,"SDN.Audit":1}}`, r.URL.Query().Get("path"))
		case path == "/cluster/nextid":
			answer = `"103"`
		case path == "/cluster/sdn/vnets":
			answer = `[{"vnet":"vn1","zone":"z1"}]`
		case strings.HasSuffix(path, "/firewall/ipset"):
			answer = `[{"name":"set"}]`
		case strings.HasSuffix(path, "/firewall/groups"):
			answer = `[{"group":"web"}]`
		case strings.HasSuffix(path, "/status") && strings.Contains(path, "/tasks/"):
			answer = `{"status":"stopped","exitstatus":"OK"}`
		case path == "/nodes/pve1/storage":
			answer = `[{"storage":"backup","active":1}]`
		case path == "/storage":
			answer = `[{"storage":"backup","path":"/srv/backup"}]`
		case strings.HasSuffix(path, "/content"):
			answer = `[{"volid":"backup:backup/vzdump-qemu-100-2026_01_01-00_00_00.vma.zst","size":1}]`
		case r.Method == "POST", r.Method == "DELETE" && strings.Contains(path, "/content/"), r.Method == "DELETE" &&
			!strings.Contains(path, "/tasks/"):
			answer = task
		case strings.HasSuffix(path, "/extractconfig"):
			answer = `"name: a"`
		case strings.HasSuffix(path, "/options"), strings.HasSuffix(path, "/all"), strings.HasSuffix(path, "/config"),
			strings.HasSuffix(path, "/current"), path == "/version", strings.HasSuffix(path, "/defaults"), strings.Contains(path, "/content/"):
			answer = `{}`
		}
		fmt.Fprintf(w, `{"data":%s}`, answer)
	})
	c := client(t, pin, s.URL)
	ctx := t.Context()
	const upid, volid = UPID("UPID:pve1:0000073B:000D84E6:6B0A6E67:vzdump:120:runner@pve!runner:"),
		"backup:backup/vzdump-qemu-100-2026_01_01-00_00_00.vma.zst"
	vm, ct := Guest{VMID: 100, Node: "pve1", Type: "qemu"}, Guest{VMID: 101, Node: "pve1", Type: "lxc"}
	calls := map[string]func() error{
		"Name": func() error { _ = c.Name(); return nil }, "Get": nil, "Post": nil, "Put": nil, "Delete": nil,
		"Guests":        func() error { _, err := c.Guests(ctx); return err },
		"Online":        func() error { _, err := c.Online(ctx); return err },
		"OnlyNode":      func() error { _, err := c.OnlyNode(ctx); return err },
		"SeesAllGuests": func() error { _, err := c.SeesAllGuests(ctx); return err },
		"Permissions":   func() error { _, err := c.Permissions(ctx); return err },
		"May":           func() error { _, err := c.May(ctx, Right{"/vms/100", []string{"VM.Audit"}}); return err },
		"Taken":         func() error { _, err := c.Taken(ctx, 100); return err },
		"Hidden":        func() error { _, _, err := c.Hidden(ctx, nil, nil); return err },
		"Find":          func() error { _, err := c.Find(ctx, "100"); return err },
		"GuestConfig": func() error {
			_, err := c.GuestConfig(ctx, vm)
			_, err2 := c.GuestConfig(ctx, ct)
			return first(err, err2)
		},
		"GuestStatus": func() error {
			_, err := c.GuestStatus(ctx, vm)
			_, err2 := c.GuestStatus(ctx, ct)
			return first(err, err2)
		},
		"Destroy":        func() error { _, err := c.Destroy(ctx, vm); _, err2 := c.Destroy(ctx, ct); return first(err, err2) },
		"NextID":         func() error { _, err := c.NextID(ctx); return err },
		"Version":        func() error { _, err := c.Version(ctx); return err },
		"Backup":         func() error { _, err := c.Backup(ctx, vm, BackupOptions{Storage: "backup", BWLimit: 1}); return err },
		"BackupDefaults": func() error { _, err := c.BackupDefaults(ctx, "pve1", "backup"); return err },
		"Archives": func() error {
			_, err := c.Archives(ctx, "pve1", "backup", 0)
			_, err2 := c.Archives(ctx, "pve1", "backup", 100)
			return first(err, err2)
		},
		"Archive":       func() error { _, err := c.Archive(ctx, "pve1", volid); return err },
		"RemoveArchive": func() error { _, err := c.RemoveArchive(ctx, "pve1", volid); return err },
		"ArchiveConfig": func() error { _, err := c.ArchiveConfig(ctx, "pve1", volid); return err },
		"Restore": func() error {
			_, err := c.Restore(ctx, "pve1", "qemu", volid, 9100, "local", nil)
			_, err2 := c.Restore(ctx, "pve1", "lxc", volid, 9100, "local", nil)
			return first(err, err2)
		},
		"Storages":      func() error { _, err := c.Storages(ctx, "pve1"); return err },
		"StorageOf":     func() error { _, err := c.StorageOf(ctx, "pve1", "backup"); return err },
		"StorageFolder": func() error { _, err := c.StorageFolder(ctx, "backup"); return err },
		"PruneOf":       func() error { _, err := c.PruneOf(ctx, "pve1", "backup"); return err },
		"Jobs":          func() error { _, err := c.Jobs(ctx); return err },
		"Pools":         func() error { _, err := c.Pools(ctx); return err },
		"TaskOf":        func() error { _, err := c.TaskOf(ctx, upid); return err },
		"StopTask":      func() error { return c.StopTask(ctx, upid) },
		"Tasks":         func() error { _, err := c.Tasks(ctx, "pve1", "vzdump", 100, time.Unix(0, 0)); return err },
		"Follow": func() error {
			_, err := c.Follow(ctx, upid, func(context.Context, time.Duration) error { return nil }, func(string) {})
			return err
		},
		"Head":     func() error { _, err := c.Head(ctx, upid, 20, func(string) {}); return err },
		"Firewall": func() error { _, err := c.Firewall(ctx, nil); return err },
	}
	for typ, i := reflect.TypeOf(c), 0; i < typ.NumMethod(); i++ {
		call, listed := calls[typ.Method(i).Name]
		if !listed {
			t.Errorf("%s is called by nothing here", typ.Method(i).Name)
		} else if call != nil {
			if err := call(); err != nil {
				t.Errorf("%s: %v", typ.Method(i).Name, err)
			}
		}
	}
	known := seen(t)
	for call := range made {
		switch {
		case known[call] && neverSeen[call] != "" && !strings.Contains(call, "/sdn/"):
			t.Errorf("%s is in a recording: take it from the list", call)
		case !known[call] && neverSeen[call] == "":
			t.Errorf("%s was never seen true", call)
		}
	}
	for call := range neverSeen {
		if !made[call] {
			t.Errorf("%s is made by nothing", call)
		}
	}
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
