package lab_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/lab"
)

func TestPermissions(t *testing.T) {
	w, p := world(t)
	none := p.as(lab.TokenIDNoRights, "pve-token-norights")
	for _, path := range []string{"/nodes/pve1/qemu", "/nodes/pve1/lxc", "/storage", "/nodes/pve1/storage", "/nodes/pve1/tasks"} {
		if r := none.do("GET", path, nil); r.status != 200 || string(r.body.Data) != "[]" {
			t.Errorf("GET %s without rights: got %d %s, want an empty list", path, r.status, r.body.Data)
		}
	}
	refused := []struct {
		p            *pve
		method, path string
		form         map[string][]string
		want         string
	}{
		{none, "GET", "/nodes/pve1/qemu/100/config", nil, "(/vms/100, VM.Audit)"},
		{none, "POST", "/nodes/pve1/vzdump", backup(100), "(/storage/backup, Datastore.AllocateSpace)"},
		{p, "POST", "/nodes/pve1/vzdump", vals("vmid", "100", "storage", "backup", "prune-backups", "keep-last=1"),
			"(/storage/backup, Datastore.Allocate)"},
		{p, "POST", "/nodes/pve1/vzdump", vals("vmid", "100", "storage", "backup", "bwlimit", "100"), "(/, Sys.Modify)"},
		{p, "DELETE", "/nodes/pve1/storage/backup/prunebackups", vals("prune-backups", "keep-last=1"), "(/storage/backup, Datastore.Allocate)"},
		{p, "GET", "/storage/backup", nil, "(/storage/backup, Datastore.Allocate)"},
	}
	for _, c := range refused {
		r := c.p.do(c.method, c.path, c.form)
		if want := "Permission check failed " + c.want; r.status != 403 || r.reason != want {
			t.Errorf("%s %s: got %d %s, want 403 %s", c.method, c.path, r.status, r.reason, want)
		}
	}
	if r := (&pve{t: t, w: w, client: p.client, token: lab.TokenID + "=wrong"}).do("GET", "/version", nil); r.status != 401 ||
		len(r.raw) != 0 || r.reason == "" {
		t.Errorf("wrong secret: got %d %q with %d bytes, want 401, a reason and no body", r.status, r.reason, len(r.raw))
	}
}

func TestParameters(t *testing.T) {
	_, p := world(t)
	const unknown = "property is not defined in schema and the schema does not allow additional properties"
	cases := []struct {
		name, method, path string
		form               map[string][]string
		key, want          string
	}{
		{"an old option", "POST", "/nodes/pve1/vzdump", vals("vmid", "100", "maxfiles", "3"), "maxfiles", unknown},
		{"another spelling", "POST", "/nodes/pve1/vzdump", vals("vmid", "100", "dumpDir", "/x"), "dumpDir", unknown},
		{"an id below 100", "GET", "/nodes/pve1/qemu/99/config", nil, "vmid", "value"},
		{"a word for a number", "GET", "/nodes/pve1/tasks", vals("limit", "many"), "limit", "type check ('integer') failed - got 'many'"},
		{"neither all nor vmid", "POST", "/nodes/pve1/vzdump", vals("storage", "backup"), "vmid", "property is missing"},
		{"all and vmid", "POST", "/nodes/pve1/vzdump", vals("all", "1", "vmid", "100"), "all", "option conflicts"},
		{"a container without template", "POST", "/nodes/pve1/lxc", vals("vmid", "9000", "restore", "1"), "ostemplate",
			"property is missing and it is not optional"},
		{"a disk key beside an archive", "POST", "/nodes/pve1/qemu", vals("vmid", "9000", "archive", "backup:backup/x", "scsi0", "local:1"),
			"scsi0", "option conflicts"},
		{"notes without storage", "POST", "/nodes/pve1/vzdump", vals("vmid", "100", "notes-template", "x"), "storage", "missing property"},
		{"a card with an unknown key", "PUT", "/nodes/pve1/qemu/900/config", vals("net0", "virtio,linkdown=1"), "net0", "linkdown"},
		{"a bad rule", "GET", "/nodes/pve1/storage/backup/prunebackups", vals("prune-backups", "keep-some=1"), "prune-backups", "keep-some"},
	}
	for _, c := range cases {
		r := p.do(c.method, c.path, c.form)
		if r.status != 400 || !strings.Contains(r.body.Errors[c.key], c.want) {
			t.Errorf("%s: got %d %s %v, want 400 with %q about %s", c.name, r.status, r.reason, r.body.Errors, c.want, c.key)
		}
	}
	for path, want := range map[string]string{
		"/nodes/pve1/nosuch":              "Method 'GET /nodes/pve1/nosuch' not implemented",
		"/cluster/ha/resources":           "the lab does not serve 'GET /cluster/ha/resources'",
		"/nodes/pve1/qemu/100/agent/ping": "Method 'GET /nodes/pve1/qemu/100/agent/ping' not implemented",
	} {
		if r := p.do("GET", path, nil); r.status != 501 || r.reason != want {
			t.Errorf("GET %s: got %d %s, want 501 %s", path, r.status, r.reason, want)
		}
	}
}

func TestLogPaging(t *testing.T) {
	_, p := world(t)
	if _, exit := p.task("POST", "/nodes/pve1/vzdump", backup(100)); exit != "OK" {
		t.Fatal(exit)
	}
	upid, exit := p.task("POST", "/nodes/pve1/qemu", vals("vmid", "9100", "archive", volid(t, p, 100), "storage", "local"))
	if exit != "OK" {
		t.Fatal(exit)
	}
	type line struct {
		N int
		T string
	}
	path := "/nodes/pve1/tasks/" + upid + "/log"
	all := p.do("GET", path, vals("limit", "0"))
	cases := []struct {
		form        map[string][]string
		first, want int
	}{
		{nil, 1, 50}, {vals("start", "100"), 101, all.body.Total - 100}, {vals("start", "3", "limit", "2"), 4, 2},
		{vals("start", "100000"), 0, 0},
	}
	for _, c := range cases {
		r := p.do("GET", path, c.form)
		var lines []line
		if err := json.Unmarshal(r.body.Data, &lines); err != nil {
			t.Fatal(err)
		}
		if len(lines) != c.want || r.body.Total != all.body.Total || (c.want > 0 && lines[0].N != c.first) {
			t.Errorf("log %v: got %d lines of %d, want %d from %d on", c.form, len(lines), r.body.Total, c.want, c.first)
		}
	}
	if r := p.do("GET", "/nodes/pve1/tasks", vals("vmid", "9100", "typefilter", "qmrestore", "since", "1")); r.body.Total != 1 {
		t.Errorf("filtered tasks: got %d, want 1", r.body.Total)
	}
}

func TestProtectedAndPruned(t *testing.T) {
	w, p := world(t)
	root := p.as(lab.TokenIDRoot, "pve-token-root")
	v := backup(900)
	v.Set("protected", "1")
	if _, exit := p.task("POST", "/nodes/pve1/vzdump", v); exit != "OK" {
		t.Fatal(exit)
	}
	kept := volid(t, p, 900)
	for range 3 {
		if _, exit := p.task("POST", "/nodes/pve1/vzdump", backup(900)); exit != "OK" {
			t.Fatal(exit)
		}
	}
	_, exit := p.task("DELETE", "/nodes/pve1/storage/backup/content/"+kept, nil)
	if want := "cannot remove protected volume"; !strings.HasPrefix(exit, want) {
		t.Errorf("delete of a protected archive: got %q, want %q", exit, want)
	}
	if _, exit := root.task("DELETE", "/nodes/pve1/storage/backup/prunebackups",
		vals("prune-backups", "keep-last=1", "vmid", "900")); exit != "OK" {
		t.Error(exit)
	}
	if n := len(archives(t, w)); n != 2 {
		t.Errorf("archives after pruning: got %d, want the protected and the newest", n)
	}
	if _, exit := p.task("DELETE", "/nodes/pve1/storage/backup/content/"+volid(t, p, 900), nil); exit != "OK" {
		t.Error(exit)
	}
	r := p.do("PUT", "/nodes/pve1/storage/backup/content/"+kept, vals("protected", "0", "notes", "a\nb"))
	if r.status != 200 {
		t.Fatalf("put: got %d %s", r.status, r.reason)
	}
	var one struct {
		Notes     string
		Protected int
	}
	p.get("GET", "/nodes/pve1/storage/backup/content/"+kept, nil, &one)
	if one.Notes != "a\nb" || one.Protected != 0 {
		t.Errorf("volume: got %+v, want both changed", one)
	}
}

func TestSecondNode(t *testing.T) {
	w, p := world(t)
	if err := w.AddNode("pve2"); err != nil {
		t.Fatal(err)
	}
	if err := w.MoveGuest(900, "pve2"); err != nil {
		t.Fatal(err)
	}
	if r := p.do("POST", "/nodes/pve1/vzdump", backup(900)); string(r.body.Data) != `"OK"` {
		t.Errorf("vzdump on the wrong node: got %s, want OK", r.body.Data)
	}
	if r := p.do("GET", "/nodes/pve1/qemu/900/config",
		nil); r.reason != "Configuration file 'nodes/pve1/qemu-server/900.conf' does not exist" {
		t.Errorf("config on the wrong node: got %d %s", r.status, r.reason)
	}
	v := backup(0)
	v.Set("vmid", "102,900")
	upid, exit := p.task("POST", "/nodes/pve1/vzdump", v)
	if log := strings.Join(p.log(upid), "\n"); exit != "OK" || !strings.Contains(log, "INFO: skip external VMs: 900") {
		t.Errorf("a mixed list: got %q\n%s", exit, log)
	}
	var upid2 string
	p.get("POST", "/nodes/pve2/vzdump", backup(900), &upid2)
	if exit, err := w.WaitTask(t.Context(), upid2); err != nil || exit != "OK" || !strings.HasPrefix(upid2, "UPID:pve2:") {
		t.Errorf("vzdump on the other node: got %s %q, %v", upid2, exit, err)
	}
	var status []map[string]any
	p.get("GET", "/cluster/status", nil, &status)
	if len(status) != 3 || status[0]["type"] != "cluster" {
		t.Errorf("cluster status: got %v, want a cluster of two nodes", status)
	}
}

func TestDrillLife(t *testing.T) {
	_, p := world(t)
	if _, exit := p.task("POST", "/nodes/pve1/vzdump", backup(900)); exit != "OK" {
		t.Fatal(exit)
	}
	if _, exit := p.task("POST", "/nodes/pve1/qemu", vals("vmid", "9900", "archive", volid(t, p, 900), "storage", "local", "name",
		"drill-900", "tags", "runner-drill", "onboot", "0")); exit != "OK" {
		t.Fatal(exit)
	}
	const vm = "/nodes/pve1/qemu/9900"
	var conf map[string]any
	p.get("GET", vm+"/config", nil, &conf)
	if conf["name"] != "drill-900" || conf["onboot"] != 0.0 || conf["lock"] != nil || fmt.Sprint(conf["memory"]) != "256" {
		t.Errorf("config: got %v, want the overrides", conf)
	}
	for _, step := range []struct{ method, path, want string }{
		{"POST", vm + "/status/start", "OK"}, {"POST", vm + "/status/stop", "OK"}, {"DELETE", vm, "OK"},
	} {
		if step.method == "DELETE" {
			if _, exit := p.task("POST", vm+"/status/start", nil); exit != "OK" {
				t.Fatal(exit)
			}
			if r := p.do("DELETE", vm, nil); r.reason != "VM 9900 is running - destroy failed" {
				t.Errorf("delete of a running VM: got %d %s", r.status, r.reason)
			}
			if _, exit := p.task("POST", vm+"/status/shutdown", nil); exit != "OK" {
				t.Fatal(exit)
			}
		}
		if _, exit := p.task(step.method, step.path, nil); exit != step.want {
			t.Errorf("%s %s: got %q, want %q", step.method, step.path, exit, step.want)
		}
	}
	if r := p.do("GET", vm+"/status/current", nil); r.status != 500 || !strings.Contains(r.reason, "does not exist") {
		t.Errorf("after the end: got %d %s, want 500", r.status, r.reason)
	}
}
