package proxmox_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/tests/gauge"
)

// What the firewalls of many guests cost beside the plainest program that could
// fetch them: the same requests by net/http, as many at once, kept as
// json.RawMessage. Ours also finds out what to ask for, and brings every entry into
// its canonical form. The server runs in a process of its own; CPU is this one's.
func TestBenchFirewall(t *testing.T) {
	m := gauge.Begin(t)
	n := 50
	if m == gauge.Full {
		n = 500
	}
	addr := gauge.StartServer(t, "TestServerOfTheBenchmark", n)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	measure := func(fn func() int) gauge.Cost {
		return gauge.Self(t, func() {
			if got := fn(); got < 4*n {
				t.Fatalf("got %d answers for %d guests", got, n)
			}
		})
	}
	var ours, bare []gauge.Cost
	for range m.Rounds(t) {
		bare = append(bare, measure(func() int { return bareFirewalls(t, dial, n) }))
		ours = append(ours, measure(func() int {
			c, err := proxmox.New(proxmox.Config{Name: "pve", URLs: []string{"https://" + lab.ProxmoxAddr},
				Fingerprints: []string{lab.Fingerprint()},
				TokenID:      lab.TokenID, Token: lab.Secrets()["pve-token"], Dial: dial})
			if err != nil {
				t.Fatal(err)
			}
			d, err := c.Firewall(t.Context(), nil)
			if err != nil || len(d.Missing) > 0 {
				t.Fatal(err, d)
			}
			if _, err := d.Encode(); err != nil {
				t.Fatal(err)
			}
			return len(d.Sections)
		}))
	}
	var table gauge.Table
	table.Ratio(t, m, fmt.Sprintf("export of %d guests' firewalls", n), ours, bare, 1.5)
	table.Print(t)
}

// bareFirewalls asks for what every guest has.
func bareFirewalls(t *testing.T, dial func(context.Context, string, string) (net.Conn, error), n int) int {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		MaxIdleConnsPerHost: 8}}
	defer client.CloseIdleConnections()
	paths := make(chan string)
	var mu sync.Mutex
	var all []json.RawMessage
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for p := range paths {
				q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+lab.ProxmoxAddr+"/api2/json"+p, nil)
				if err != nil {
					t.Error(err)
					continue
				}
				q.Header.Set("Authorization", "PVEAPIToken="+lab.TokenID+"="+string(lab.Secrets()["pve-token"]))
				a, err := client.Do(q)
				if err != nil {
					t.Error(err)
					continue
				}
				var answer struct{ Data json.RawMessage }
				err = json.NewDecoder(a.Body).Decode(&answer)
				a.Body.Close()
				if err != nil || a.StatusCode != 200 {
					t.Errorf("%s: %d %v", p, a.StatusCode, err)
					continue
				}
				mu.Lock()
				all = append(all, answer.Data)
				mu.Unlock()
			}
		})
	}
	for i := range n {
		for _, part := range []string{"options", "rules", "aliases", "ipset", "ipset/friends"} {
			paths <- fmt.Sprintf("/nodes/pve1/qemu/%d/firewall/%s", 1000+i, part)
		}
	}
	close(paths)
	wg.Wait()
	return len(all)
}

// TestServerOfTheBenchmark is the lab's Proxmox VE, with so many guests more.
func TestServerOfTheBenchmark(t *testing.T) {
	dir, n := gauge.ServerAsked(t)
	w, err := lab.Open(t.Context(), dir+"/world")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	root := w.Node().Root
	for i := range n {
		id := 1000 + i
		for name, text := range map[string]string{
			filepath.Join("etc/pve/nodes/pve1/qemu-server", fmt.Sprint(id)+".conf"): fmt.Sprintf("cores: 1\nmemory: 512\nname: guest-%d\nnet0: "+
				"virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1\n", id),
			filepath.Join("etc/pve/firewall", fmt.Sprint(id)+".fw"): guestFirewall,
		} {
			if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	addrs, err := w.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	gauge.Serving(t, addrs[lab.ProxmoxAddr])
}

const guestFirewall = `[OPTIONS]
enable: 1
policy_in: DROP

[ALIASES]
relay 198.51.100.7

[IPSET friends]
10.20.0.0/24
10.30.0.0/24 # guests
!10.30.0.66

[RULES]
IN ACCEPT -i net0 -source guest/relay -p tcp -dport 25
IN ACCEPT -i net0 -source +friends -p tcp -dport 443 -log info # web
IN SSH(ACCEPT) -i net0 -source dc/adminnet
IN ACCEPT -i net0 -p icmp
|OUT REJECT -dest 203.0.113.0/24
`
