package proxmox

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"regexp"
	"sort"
	"strings"
)

// user is who asks: a token, and its rights.
type user struct {
	name  string // "runner@pve!runner"
	token *Token
}

var tokenHeader = regexp.MustCompile(`^PVEAPIToken[= ]([^\s:/@]+@[A-Za-z][A-Za-z0-9.\-_]+![A-Za-z][A-Za-z0-9.\-_]+)=(\S+)$`)

// login finds the token of a request, or the text of the 401.
func login(s *state, h http.Header) (*user, string) {
	auth := h.Get("Authorization")
	if auth == "" {
		return nil, "No ticket"
	}
	m := tokenHeader.FindStringSubmatch(auth)
	if m == nil {
		return nil, "No ticket"
	}
	t := s.Tokens[m[1]]
	if t == nil || subtle.ConstantTimeCompare([]byte(t.Secret), []byte(m[2])) != 1 {
		return nil, "Authentication failed!"
	}
	return &user{m[1], t}, ""
}

// owner is the user part of a token's full name.
func owner(name string) string {
	u, _, _ := strings.Cut(name, "!")
	return u
}

func tokenID(name string) string {
	_, id, _ := strings.Cut(name, "!")
	return id
}

// has reports whether the user has any of privs on path.
func (u *user) has(path string, privs ...string) bool {
	if u.token.Root {
		return true
	}
	for _, have := range u.rights(path) {
		for _, want := range privs {
			if have == want {
				return true
			}
		}
	}
	return false
}

// rights are those of the longest path of the ACL that covers path.
func (u *user) rights(path string) []string {
	best, rights := -1, []string(nil)
	for at, privs := range u.token.ACL {
		covers := at == "/" || at == path || strings.HasPrefix(path, at+"/")
		if covers && len(at) > best {
			best, rights = len(at), privs
		}
	}
	return rights
}

// need refuses like PVE unless the user has one of privs on path.
func (u *user) need(path string, privs ...string) error {
	if u.has(path, privs...) {
		return nil
	}
	return forbidden(path, strings.Join(privs, "|"))
}

// permissions answers GET /access/permissions: what the token may on each path that has
// an entry of the ACL, be it another's.
func (u *user) permissions(path string, entries ...string) map[string]map[string]int {
	out := map[string]map[string]int{}
	paths := []string{path}
	if path == "" {
		paths = []string{"/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"}
		for at := range u.token.ACL {
			paths = append(paths, at)
		}
		paths = append(paths, entries...)
	}
	for _, at := range paths {
		privs := map[string]int{}
		for _, p := range u.rights("/" + strings.TrimPrefix(at, "/")) {
			privs[p] = 1
		}
		if u.token.Root {
			for _, p := range allPrivileges() {
				privs[p] = 1
			}
		}
		if len(privs) > 0 || path != "" { // a path that is asked for is answered, whatever it is
			out[at] = privs
		}
	}
	return out
}

func allPrivileges() []string {
	return strings.Fields(`Datastore.Allocate Datastore.AllocateSpace Datastore.AllocateTemplate Datastore.Audit
		Group.Allocate Mapping.Audit Mapping.Modify Mapping.Use Permissions.Modify Pool.Allocate Pool.Audit
		Realm.Allocate Realm.AllocateUser SDN.Allocate SDN.Audit SDN.Use Sys.AccessNetwork Sys.Audit Sys.Console
		Sys.Incoming Sys.Modify Sys.PowerMgmt Sys.Syslog User.Modify VM.Allocate VM.Audit VM.Backup VM.Clone
		VM.Config.CDROM VM.Config.CPU VM.Config.Cloudinit VM.Config.Disk VM.Config.HWType VM.Config.Memory
		VM.Config.Network VM.Config.Options VM.Console VM.GuestAgent.Audit VM.GuestAgent.FileRead
		VM.GuestAgent.FileSystemMgmt VM.GuestAgent.FileWrite VM.GuestAgent.Unrestricted VM.Migrate VM.PowerMgmt
		VM.Replicate VM.Snapshot VM.Snapshot.Rollback`)
}

// permit checks the static part of a method's permissions.
func (p *permission) permit(u *user, vars map[string]string) error {
	switch {
	case p == nil:
		if u.name != "root@pam" && !u.token.Root {
			return &refusal{status: 403, message: "Permission check failed (user != root@pam)"}
		}
		return nil
	case p.User != "":
		return nil
	}
	return checkExpr(p.Check, u, vars)
}

// checkExpr evaluates ["perm", path, [privs], "any", 1], "and" and "or".
func checkExpr(expr []any, u *user, vars map[string]string) error {
	if len(expr) == 0 {
		return nil
	}
	switch expr[0] {
	case "perm":
		path, privs, any := permExpr(expr, vars)
		if any {
			return u.need(path, privs...)
		}
		for _, p := range privs {
			if !u.has(path, p) {
				return forbidden(path, strings.Join(privs, ", "))
			}
		}
		return nil
	case "and", "or":
		var last error
		for _, sub := range expr[1:] {
			list, ok := sub.([]any)
			if !ok {
				continue
			}
			last = checkExpr(list, u, vars)
			if (last == nil) == (expr[0] == "or") {
				return last
			}
		}
		return last
	}
	return &refusal{status: 500, message: fmt.Sprintf("unknown permission test %v", expr[0])}
}

func permExpr(expr []any, vars map[string]string) (path string, privs []string, any bool) {
	path, _ = expr[1].(string)
	for name, v := range vars {
		path = strings.ReplaceAll(path, "{"+name+"}", v)
	}
	list, _ := expr[2].([]interface{})
	for _, p := range list {
		if s, ok := p.(string); ok {
			privs = append(privs, s)
		}
	}
	for i := 3; i+1 < len(expr); i += 2 {
		any = any || expr[i] == "any"
	}
	return path, privs, any
}

// sortedKeys lists the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
