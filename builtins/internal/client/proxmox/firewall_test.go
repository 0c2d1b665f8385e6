package proxmox

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// A node that is down takes its guests with it, and not the others' rules.
func TestANodeThatIsDownIsMissingWithItsGuests(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status  string // of pve2
		missing string
		err     string
	}{
		"offline":                          {"offline", "node pve2 is offline", ""},
		"without figures, and not there":   {"unknown", "node pve2 is unknown", ""},
		"said to be online, but not there": {"online", "", "No route to host (595)"},
	} {
		s, pin := node(t, func(w http.ResponseWriter, r *http.Request) {
			path := strings.TrimPrefix(r.URL.Path, "/api2/json")
			switch {
			case path == "/nodes":
				fmt.Fprintf(w, `{"data":[{"node":"pve1","status":"online"},{"node":"pve2","status":%q}]}`, c.status)
			case path == "/cluster/nextid":
				fmt.Fprint(w, `{"data":"101"}`)
			case path == "/access/permissions":
				fmt.Fprintf(w, `{"data":{%q:{"SDN.Audit":1,"VM.Audit":1}}}`, r.URL.Query().Get("path"))
			case path == "/nodes/pve1/qemu":
				fmt.Fprint(w, `{"data":[{"vmid":100,"name":"a","status":"running"}]}`)
			case path == "/cluster/resources":
				fmt.Fprint(w, `{"data":[{"vmid":100,"node":"pve1","type":"qemu","name":"a","status":"running"},{"vmid":200,"node":"pve2","type":"lxc","name":"b","status":"unknown"}]}`)
			case strings.HasPrefix(path, "/nodes/pve2"):
				raw(t, "HTTP/1.1 595 No route to host\r\nContent-Length: 0\r\n\r\n")(w, r)
			case strings.HasSuffix(path, "/options") || strings.HasSuffix(path, "/all"):
				fmt.Fprint(w, `{"data":{}}`)
			default:
				fmt.Fprint(w, `{"data":[]}`)
			}
		})
		d, err := client(t, pin, s.URL).Firewall(t.Context(), nil)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: got %v, want %q", name, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		left := map[string]string{}
		for _, m := range d.Missing {
			left[m.Part] = m.Why
		}
		if left["guest/200/rules"] != c.missing || left["node/pve2/network"] != c.missing || d.Section("guest/100/rules") == nil ||
			left["guest/100/rules"] != "" {
			t.Errorf("%s: got missing %v", name, left)
		}
	}
}
