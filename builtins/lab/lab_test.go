package lab_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab"
)

// open opens a world for a test, with a short delay for refused logins.
func open(t *testing.T, dir string, opts ...lab.Option) *lab.World {
	t.Helper()
	w, err := lab.Open(t.Context(), dir, append([]lab.Option{lab.WithAuthDelay(10 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// pve is a plain client of the lab's API.
type pve struct {
	t      *testing.T
	w      *lab.World
	client *http.Client
	token  string
}

type reply struct {
	status int
	reason string
	header http.Header
	raw    []byte
	body   struct {
		Data    json.RawMessage   `json:"data"`
		Errors  map[string]string `json:"errors"`
		Message string            `json:"message"`
		Total   int               `json:"total"`
	}
}

func api(t *testing.T, w *lab.World) *pve {
	return &pve{t: t, w: w, token: lab.TokenID + "=" + string(lab.Secrets()["pve-token"]), client: &http.Client{Transport: &http.Transport{
		DialContext:     w.Dial,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}}
}

func (p *pve) as(id, secret string) *pve {
	q := *p
	q.token = id + "=" + string(lab.Secrets()[secret])
	return &q
}

// try makes one request; form is "k=v&…", for POST and PUT the body.
func (p *pve) try(method, path string, form url.Values) (*reply, error) {
	var body io.Reader
	target := "https://pve1.lab:8006/api2/json" + path
	if method == "POST" || method == "PUT" {
		body = strings.NewReader(form.Encode())
	} else if len(form) > 0 {
		target += "?" + form.Encode()
	}
	r, err := http.NewRequestWithContext(p.t.Context(), method, target, body)
	if err != nil {
		p.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if p.token != "" {
		r.Header.Set("Authorization", "PVEAPIToken="+p.token)
	}
	s, err := p.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer s.Body.Close()
	out := &reply{status: s.StatusCode, reason: strings.TrimPrefix(s.Status, fmt.Sprintf("%d ", s.StatusCode)), header: s.Header}
	if out.raw, err = io.ReadAll(s.Body); err != nil {
		return nil, err
	}
	if len(out.raw) > 0 {
		if err := json.Unmarshal(out.raw, &out.body); err != nil {
			p.t.Fatalf("%s %s: body %q: %v", method, path, out.raw, err)
		}
	}
	return out, nil
}

func (p *pve) do(method, path string, form url.Values) *reply {
	p.t.Helper()
	r, err := p.try(method, path, form)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// get decodes the data of a request that must succeed.
func (p *pve) get(method, path string, form url.Values, into any) {
	p.t.Helper()
	r := p.do(method, path, form)
	if r.status != 200 {
		p.t.Fatalf("%s %s: got %d %s, want 200", method, path, r.status, r.reason)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(r.body.Data, into); err != nil {
		p.t.Fatalf("%s %s: data %s: %v", method, path, r.body.Data, err)
	}
}

// task starts work and waits for its end.
func (p *pve) task(method, path string, form url.Values) (upid, exit string) {
	p.t.Helper()
	p.get(method, path, form, &upid)
	exit, err := p.w.WaitTask(p.t.Context(), upid)
	if err != nil {
		p.t.Fatal(err)
	}
	return upid, exit
}

func (p *pve) log(upid string) []string {
	p.t.Helper()
	var lines []struct {
		N int
		T string
	}
	p.get("GET", "/nodes/pve1/tasks/"+upid+"/log", url.Values{"limit": {"0"}}, &lines)
	var out []string
	for _, l := range lines {
		out = append(out, l.T)
	}
	return out
}

func vals(kv ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(kv); i += 2 {
		v.Set(kv[i], kv[i+1])
	}
	return v
}

func TestHappyPath(t *testing.T) {
	began := time.Now()
	w := open(t, filepath.Join(t.TempDir(), "world"))
	t.Logf("made in %v; fingerprint %s; host keys %v", time.Since(began), lab.Fingerprint(), lab.HostKeys())
	p := api(t, w)
	var version map[string]string
	p.get("GET", "/version", nil, &version)
	if version["release"] != "9.2" {
		t.Errorf("version: got %v, want release 9.2", version)
	}
	for id, want := range map[int]string{100: "vma.zst", 101: "tar.zst"} {
		upid, exit := p.task("POST", "/nodes/pve1/vzdump", vals("vmid", fmt.Sprint(id), "storage", "backup", "compress", "zstd", "remove", "0",
			"notes-template", "{{guestname}} of run 7"))
		t.Log(strings.Join(p.log(upid), "\n"))
		if exit != "OK" {
			t.Fatalf("vzdump %d: got exit %q, want OK", id, exit)
		}
		var list []struct {
			Volid, Format, Notes string
			Size                 int64
		}
		p.get("GET", "/nodes/pve1/storage/backup/content", vals("vmid", fmt.Sprint(id)), &list)
		if len(list) != 1 || list[0].Format != want || !strings.HasSuffix(list[0].Notes, " of run 7") {
			t.Errorf("content of %d: got %+v, want one %s with its notes", id, list, want)
		}
	}
	upid, exit := p.task("POST", "/nodes/pve1/qemu", vals("vmid", "9100", "archive", volid(t, p, 100), "storage", "local", "unique", "1",
		"name", "drill", "net0", "virtio,bridge=vmbr0,link_down=1", "onboot", "0"))
	t.Log(strings.Join(p.log(upid), "\n"))
	if exit != "OK" {
		t.Fatalf("restore of VM: got exit %q, want OK", exit)
	}
	for _, key := range []string{"scsi0", "efidisk0"} {
		if !bytes.Equal(disk(t, w, 100, key), disk(t, w, 9100, key)) {
			t.Errorf("disk %s of the restored VM differs", key)
		}
	}
	upid, exit = p.task("POST", "/nodes/pve1/lxc", vals("vmid", "9101", "ostemplate", volid(t, p, 101), "restore", "1", "storage", "local",
		"net0", "name=eth0,bridge=vmbr0,link_down=1"))
	t.Log(strings.Join(p.log(upid), "\n"))
	if exit != "OK" {
		t.Fatalf("restore of container: got exit %q, want OK", exit)
	}
}

func volid(t *testing.T, p *pve, vmid int) string {
	t.Helper()
	var list []struct{ Volid string }
	p.get("GET", "/nodes/pve1/storage/backup/content", vals("vmid", fmt.Sprint(vmid)), &list)
	if len(list) == 0 {
		t.Fatalf("no archive of %d", vmid)
	}
	return list[len(list)-1].Volid
}

func disk(t *testing.T, w *lab.World, id int, key string) []byte {
	t.Helper()
	path, err := w.Disk(id, key)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
