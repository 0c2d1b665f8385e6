package proxmox

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// What a real Proxmox VE 9.2.11 answered, with the files that make it answer so.
// Digests are left out: they are of its files, to the byte.
func TestFirewallAnswersAsRecorded(t *testing.T) {
	c := openCluster(t, t.TempDir())
	base := serve(t, c)
	for path, text := range map[string]string{
		"etc/pve/firewall/cluster.fw": "[OPTIONS]\nenable: 1\nlog_ratelimit: enable=1,rate=1/second,burst=5\npolicy_in: DROP\npolicy_out: " +
			"ACCEPT\n\n" +
			"[ALIASES]\nadminnet 192.0.2.0/25 # changed\nMixedCase 203.0.113.10\n\n[IPSET mgmt] # management hosts\n10.77.0.5\n\n" +
			"[RULES]\n|IN SSH(DROP) -i vmbr0 -source dc/adminnet\nGROUP web\nIN ACCEPT -source +mgmt -p tcp -dport 22,8006 -log nolog # mgmt " +
			"in\n\n" +
			"[group web] # web servers\nIN HTTP(ACCEPT)\nIN ACCEPT -p tcp -dport 443 # https\n",
		"etc/pve/firewall/100.fw": "[OPTIONS]\ndhcp: 1\nenable: 1\nipfilter: 0\nlog_level_in: warning\nmacfilter: 1\npolicy_in: " +
			"DROP\n\n[ALIASES]\npeer 198.51.100.7\n\n" +
			"[IPSET ipfilter-net0]\n10.77.0.101\n\n[RULES]\n|OUT REJECT -dest dc/adminnet -log info\nGROUP web -i net0\nIN ACCEPT -i net0 " +
			"-source guest/peer -p tcp -dport 80\n",
		"etc/pve/nodes/pve1/host.fw": "[OPTIONS]\nenable: 1\nlog_level_in: info\nnosmurfs: 1\n",
		"etc/network/interfaces": "auto vmbr0\niface vmbr0 inet static\n\taddress 10.77.0.1/24\n\tbridge-ports none\n\tbridge-stp " +
			"off\n\tbridge-fd 0\n",
	} {
		must(t, os.WriteFile(filepath.Join(c.dir, "nodes/pve1", path), []byte(text), 0o600))
	}
	api := func(path string) any {
		t.Helper()
		status, _, body := get(t, base+"/api2/json"+path)
		if status != 200 {
			t.Fatalf("%s: got %d", path, status)
		}
		return without(body, "digest", "exists")
	}
	for path, want := range map[string]string{
		"/cluster/firewall/options": `{"enable":1,"log_ratelimit":"enable=1,rate=1/second,burst=5","policy_in":"DROP","policy_out":"ACCEPT"}`,
		"/cluster/firewall/rules": `[{"action":"DROP","enable":0,"iface":"vmbr0","ipversion":4,"macro":"SSH","pos":0,"source":"dc/adminnet","type":"in"},` +
			`{"action":"web","enable":1,"pos":1,"type":"group"},{"action":"ACCEPT","comment":"mgmt in","dport":"22,8006","enable":1,"log":"nolog","pos":2,"proto":"tcp","source":"+mgmt","type":"in"}]`,
		"/cluster/firewall/aliases":                         `[{"cidr":"192.0.2.0/25","comment":"changed","ipversion":4,"name":"adminnet"},{"cidr":"203.0.113.10","ipversion":4,"name":"MixedCase"}]`,
		"/cluster/firewall/groups":                          `[{"comment":"web servers","group":"web"}]`,
		"/cluster/firewall/groups/web":                      `[{"action":"ACCEPT","enable":1,"macro":"HTTP","pos":0,"type":"in"},{"action":"ACCEPT","comment":"https","dport":"443","enable":1,"pos":1,"proto":"tcp","type":"in"}]`,
		"/nodes/pve1/firewall/options":                      `{"enable":1,"log_level_in":"info","nosmurfs":1}`,
		"/nodes/pve1/qemu/100/firewall/options":             `{"dhcp":1,"enable":1,"ipfilter":0,"log_level_in":"warning","macfilter":1,"policy_in":"DROP"}`,
		"/nodes/pve1/qemu/100/firewall/aliases":             `[{"cidr":"198.51.100.7","ipversion":4,"name":"peer"}]`,
		"/nodes/pve1/qemu/100/firewall/ipset":               `[{"name":"ipfilter-net0"}]`,
		"/nodes/pve1/qemu/100/firewall/ipset/ipfilter-net0": `[{"cidr":"10.77.0.101"}]`,
		"/nodes/pve1/qemu/100/firewall/rules":               `[{"action":"REJECT","dest":"dc/adminnet","enable":0,"ipversion":4,"log":"info","pos":0,"type":"out"},{"action":"web","enable":1,"iface":"net0","pos":1,"type":"group"},{"action":"ACCEPT","dport":"80","enable":1,"iface":"net0","ipversion":4,"pos":2,"proto":"tcp","source":"guest/peer","type":"in"}]`,
		"/nodes/pve1/lxc/100/firewall/rules":                `[{"action":"REJECT","dest":"dc/adminnet","enable":0,"ipversion":4,"log":"info","pos":0,"type":"out"},{"action":"web","enable":1,"iface":"net0","pos":1,"type":"group"},{"action":"ACCEPT","dport":"80","enable":1,"iface":"net0","ipversion":4,"pos":2,"proto":"tcp","source":"guest/peer","type":"in"}]`,
		"/nodes/pve1/qemu/999/firewall/rules":               `[]`, // a guest that is not there
		"/nodes/pve1/qemu/999/firewall/options":             `{}`,
		"/nodes/pve1/network":                               `[{"active":1,"address":"10.77.0.1","autostart":1,"bridge_fd":"0","bridge_ports":"","bridge_stp":"off","cidr":"10.77.0.1/24","families":["inet"],"iface":"vmbr0","method":"static","method6":"manual","netmask":"24","priority":3,"type":"bridge"}]`,
	} {
		var wanted any
		must(t, json.Unmarshal([]byte(want), &wanted))
		if got := api(path); !reflect.DeepEqual(got, wanted) {
			raw, _ := json.Marshal(got)
			t.Errorf("%s: got %s, want %s", path, raw, want)
		}
	}
	for path, reason := range map[string]string{
		"/cluster/firewall/ipset/nope": "no such IPSet 'nope'", "/cluster/firewall/groups/nope": "no such security group 'nope'",
	} {
		if status, got, _ := get(t, base+"/api2/json"+path); status != 500 || got != reason {
			t.Errorf("%s: got %d %s, want 500 %s", path, status, got, reason)
		}
	}
}

// get sends a request with root's token, and returns status, reason and data.
func get(t *testing.T, url string) (int, string, any) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	q.Header.Set("Authorization", "PVEAPIToken=root@pam!t1=s")
	resp, err := http.DefaultClient.Do(q)
	must(t, err)
	defer resp.Body.Close()
	var answer struct{ Data any }
	must(t, json.NewDecoder(resp.Body).Decode(&answer))
	_, reason, _ := strings.Cut(resp.Status, " ")
	return resp.StatusCode, reason, answer.Data
}

// without removes fields at any depth.
func without(v any, keys ...string) any {
	switch x := v.(type) {
	case map[string]any:
		for _, k := range keys {
			delete(x, k)
		}
		for _, e := range x {
			without(e, keys...)
		}
	case []any:
		for _, e := range x {
			without(e, keys...)
		}
	}
	return v
}
