// Package unifi is the lab's UniFi console: the login of UniFi OS, the list and the
// download of its automatic backups, and its settings. It was written after what the
// console's pages send and what public clients expect; no answer of a real console
// was recorded, so its shapes are a careful guess where those are silent.
//
// State is in one folder: settings.json (list -> objects), and backups.json with the
// files beside it. A backup is bytes that look like the vendor's: whole blocks of 16.
//
// Faults, On = "unifi METHOD PATH": answer STATUS [TEXT], limit SECONDS (429 with
// Retry-After), cut, hang, truncate N.
package unifi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/neosofia/runner/builtins/lab/fault"
	"github.com/neosofia/runner/builtins/lab/internal/serve"
)

// Console is one console.
type Console struct {
	Dir      string
	User     string
	Password string
	Faults   *fault.Set
	Now      func() time.Time

	mu       sync.Mutex
	sessions map[string]string // cookie -> CSRF token
}

// Backup is a line of backups.json.
type Backup struct {
	Filename string    `json:"filename"`
	Size     int64     `json:"size"`
	Datetime time.Time `json:"datetime"`
	Version  string    `json:"version"`
}

// Create makes a console's state.
func Create(dir string, now time.Time) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	settings := map[string][]map[string]any{
		"setting": {{"_id": "s1", "key": "mgmt", "x_ssh_password": "ubnt", "auto_upgrade": false},
			{"_id": "s2", "key": "usg", "mss_clamp": "auto"}},
		"networkconf": {{"_id": "n1", "name": "office", "purpose": "corporate", "ip_subnet": "10.20.0.1/24", "vlan_enabled": false},
			{"_id": "n2", "name": "guests", "purpose": "guest", "ip_subnet": "10.30.0.1/24", "vlan": 30, "vlan_enabled": true}},
		"firewallrule": {{"_id": "r1", "name": "guests to office", "action": "drop", "ruleset": "GUEST_IN", "rule_index": 2000,
			"enabled": true}},
		"firewallgroup": {{"_id": "g1", "name": "servers", "group_type": "address-group", "group_members": []string{"10.20.0.10", "10.20.0.11"}}},
		"routing": {{"_id": "t1", "name": "lab", "static-route_network": "10.99.0.0/24", "static-route_nexthop": "10.20.0.2",
			"enabled": true}},
		"portforward": {{"_id": "p1", "name": "vpn", "dst_port": "51820", "fwd": "10.20.0.5", "fwd_port": "51820", "proto": "udp",
			"enabled": true}},
		"portconf": {}, "wlanconf": {{"_id": "w1", "name": "office", "security": "wpapsk", "x_passphrase": "a passphrase", "enabled": true}},
		"dynamicdns": {}, "dhcpoption": {},
	}
	if err := writeJSON(filepath.Join(dir, "settings.json"), settings); err != nil {
		return err
	}
	at := now.Add(-20 * time.Hour).UTC().Truncate(time.Minute)
	var list []Backup
	for i := range 2 {
		b := Backup{fmt.Sprintf("autobackup_9.4.19_%s.unf", at.Format("20060102_1504")), int64(4096 + 16*i), at, "9.4.19"}
		content := make([]byte, b.Size)
		for n := range content {
			content[n] = byte(n*31+i*7) ^ byte(n>>8)
		}
		if err := os.WriteFile(filepath.Join(dir, b.Filename), content, 0o644); err != nil {
			return err
		}
		list = append(list, b)
		at = at.Add(-7 * 24 * time.Hour)
	}
	return writeJSON(filepath.Join(dir, "backups.json"), list)
}

func writeJSON(path string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644)
}

// Serve answers until the listener is closed or ctx ends.
func (c *Console) Serve(ctx context.Context, l net.Listener) error {
	return serve.HTTP(ctx, l, http.HandlerFunc(c.serve))
}

func (c *Console) serve(w http.ResponseWriter, r *http.Request) {
	deeds, err := c.Faults.Due("unifi "+r.Method+" "+r.URL.Path, "answer", "limit", "cut", "hang", "truncate")
	if err != nil {
		http.Error(w, err.Error(), 500)
		return
	}
	most := int64(-1)
	for _, d := range deeds {
		switch d.Name {
		case "answer":
			code, text, _ := strings.Cut(d.Args, " ")
			n, err := strconv.Atoi(code)
			if err != nil {
				n = 500
			}
			answer(w, n, map[string]any{"code": code, "message": text})
			return
		case "limit":
			w.Header().Set("Retry-After", d.Args)
			answer(w, http.StatusTooManyRequests, map[string]any{"code": "AUTHENTICATION_FAILED_LIMIT_REACHED",
				"message": "You've reached the login attempt limit"})
			return
		case "cut":
			panic(http.ErrAbortHandler)
		case "hang":
			<-r.Context().Done()
			return
		case "truncate":
			if most, err = strconv.ParseInt(d.Args, 10, 64); err != nil {
				most = 0
			}
		}
	}
	if r.URL.Path == "/api/auth/login" && r.Method == http.MethodPost {
		c.login(w, r)
		return
	}
	p, inNetwork := strings.CutPrefix(r.URL.Path, "/proxy/network")
	if !inNetwork {
		answer(w, 404, map[string]any{"message": "Not Found"})
		return
	}
	if !c.known(r) {
		answer(w, 401, map[string]any{"error": map[string]any{"code": 401, "message": "Unauthorized"}, "message": "Unauthorized"})
		return
	}
	switch {
	case r.Method == http.MethodPost && p == "/api/s/default/cmd/backup":
		c.backups(w, r)
	case r.Method == http.MethodGet && strings.HasPrefix(p, "/dl/autobackup/"):
		c.download(w, filepath.Base(p), most)
	case r.Method == http.MethodGet && strings.HasPrefix(p, "/api/s/default/rest/"):
		c.settings(w, filepath.Base(p))
	default:
		answer(w, 404, map[string]any{"meta": map[string]any{"rc": "error", "msg": "api.err.NotFound"}, "data": []any{}})
	}
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone: it sees that itself
}

func ok(w http.ResponseWriter, data any) {
	answer(w, 200, map[string]any{"meta": map[string]any{"rc": "ok"}, "data": data})
}

func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	var in struct{ Username, Password string }
	if json.NewDecoder(io.LimitReader(r.Body, 64<<10)).Decode(&in) != nil || in.Username != c.User || in.Password != c.Password {
		answer(w, 403, map[string]any{"code": "AUTHENTICATION_FAILED_INVALID_CREDENTIALS", "message": "Invalid username or password"})
		return
	}
	cookie, csrf := random(), random()
	c.mu.Lock()
	if c.sessions == nil {
		c.sessions = map[string]string{}
	}
	c.sessions[cookie] = csrf
	c.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: "TOKEN", Value: cookie, Path: "/", Secure: true, HttpOnly: true})
	w.Header().Set("X-CSRF-Token", csrf)
	answer(w, 200, map[string]any{"username": in.Username})
}

func random() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// known checks the session; what is posted needs the CSRF token, too.
func (c *Console) known(r *http.Request) bool {
	cookie, err := r.Cookie("TOKEN")
	if err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	csrf, ok := c.sessions[cookie.Value]
	return ok && (r.Method == http.MethodGet || r.Header.Get("X-CSRF-Token") == csrf)
}

func (c *Console) backups(w http.ResponseWriter, r *http.Request) {
	var in struct{ Cmd string }
	if json.NewDecoder(io.LimitReader(r.Body, 64<<10)).Decode(&in) != nil || in.Cmd != "list-backups" {
		answer(w, 400, map[string]any{"meta": map[string]any{"rc": "error", "msg": "api.err.InvalidPayload"}, "data": []any{}})
		return
	}
	var list []Backup
	raw, err := os.ReadFile(filepath.Join(c.Dir, "backups.json"))
	if err == nil {
		err = json.Unmarshal(raw, &list)
	}
	if err != nil {
		answer(w, 500, map[string]any{"message": err.Error()})
		return
	}
	data := []any{}
	for _, b := range list {
		data = append(data, map[string]any{"controller_name": "gateway", "filename": b.Filename, "type": "primary", "version": b.Version,
			"time": b.Datetime.UnixMilli(), "datetime": b.Datetime.Format(time.RFC3339), "format": "bson", "days": 0, "size": b.Size})
	}
	ok(w, data)
}

func (c *Console) download(w http.ResponseWriter, name string, most int64) {
	f, err := os.Open(filepath.Join(c.Dir, name))
	if err != nil || !strings.HasSuffix(name, ".unf") {
		answer(w, 404, map[string]any{"message": "Not Found"})
		return
	}
	defer f.Close()
	var r io.Reader = f
	if most >= 0 {
		r = io.LimitReader(f, most)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = io.Copy(w, r) // the client is gone: it sees that itself
}

func (c *Console) settings(w http.ResponseWriter, part string) {
	var all map[string][]map[string]any
	raw, err := os.ReadFile(filepath.Join(c.Dir, "settings.json"))
	if err == nil {
		err = json.Unmarshal(raw, &all)
	}
	if err != nil {
		answer(w, 500, map[string]any{"message": err.Error()})
		return
	}
	list, there := all[part]
	if !there {
		answer(w, 404, map[string]any{"meta": map[string]any{"rc": "error", "msg": "api.err.NotFound"}, "data": []any{}})
		return
	}
	ok(w, list)
}
