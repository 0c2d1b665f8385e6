package proxmox

// handler does the work of one method. What it returns becomes "data".
type handler func(*Cluster, *request) (any, error)

// dispatch calls the handler of a method. The schema names as served exactly
// what stands here; a test holds the two together.
func (c *Cluster) dispatch(template string, r *request) (any, error) {
	h := handlers()[r.method+" "+template]
	if h == nil {
		return nil, notServed(r.method, r.path)
	}
	return h(c, r)
}

func handlers() map[string]handler {
	m := map[string]handler{
		"GET /version":                                            (*Cluster).getVersion,
		"GET /nodes":                                              (*Cluster).getNodes,
		"GET /nodes/{node}/version":                               (*Cluster).getVersion,
		"GET /nodes/{node}/status":                                (*Cluster).getNodeStatus,
		"GET /cluster/status":                                     (*Cluster).getClusterStatus,
		"GET /cluster/resources":                                  (*Cluster).getResources,
		"GET /cluster/nextid":                                     (*Cluster).getNextID,
		"GET /cluster/backup":                                     (*Cluster).getJobs,
		"GET /cluster/backup/{id}":                                (*Cluster).getJob,
		"GET /cluster/backup-info/not-backed-up":                  (*Cluster).getNotBackedUp,
		"GET /access/permissions":                                 (*Cluster).getPermissions,
		"GET /storage":                                            (*Cluster).getStorages,
		"GET /storage/{storage}":                                  (*Cluster).getStorage,
		"GET /nodes/{node}/storage":                               (*Cluster).getNodeStorages,
		"GET /nodes/{node}/storage/{storage}/status":              (*Cluster).getStorageStatus,
		"GET /nodes/{node}/storage/{storage}/content":             (*Cluster).getContent,
		"GET /nodes/{node}/storage/{storage}/content/{volume}":    (*Cluster).getVolume,
		"PUT /nodes/{node}/storage/{storage}/content/{volume}":    (*Cluster).putVolume,
		"DELETE /nodes/{node}/storage/{storage}/content/{volume}": (*Cluster).deleteVolume,
		"GET /nodes/{node}/storage/{storage}/prunebackups":        (*Cluster).getPrune,
		"DELETE /nodes/{node}/storage/{storage}/prunebackups":     (*Cluster).deletePrune,
		"POST /nodes/{node}/vzdump":                               (*Cluster).postVzdump,
		"GET /nodes/{node}/vzdump/defaults":                       (*Cluster).getDefaults,
		"GET /nodes/{node}/vzdump/extractconfig":                  (*Cluster).getExtractConfig,
		"GET /nodes/{node}/tasks":                                 (*Cluster).getTasks,
		"GET /nodes/{node}/tasks/{upid}":                          (*Cluster).getTaskIndex,
		"DELETE /nodes/{node}/tasks/{upid}":                       (*Cluster).deleteTask,
		"GET /nodes/{node}/tasks/{upid}/status":                   (*Cluster).getTaskStatus,
		"GET /nodes/{node}/tasks/{upid}/log":                      (*Cluster).getTaskLog,
		"GET /nodes/{node}/qemu":                                  (*Cluster).getVMs,
		"GET /nodes/{node}/lxc":                                   (*Cluster).getCTs,
		"POST /nodes/{node}/qemu":                                 (*Cluster).postVM,
		"POST /nodes/{node}/lxc":                                  (*Cluster).postCT,
		"PUT /nodes/{node}/qemu/{vmid}/config":                    (*Cluster).putConfig,
		"POST /nodes/{node}/qemu/{vmid}/config":                   (*Cluster).postConfig,
		"PUT /nodes/{node}/lxc/{vmid}/config":                     (*Cluster).putConfig,
		"POST /nodes/{node}/qemu/{vmid}/agent/ping":               (*Cluster).postPing,
	}
	m["GET /nodes/{node}/network"] = (*Cluster).getNetwork
	m["GET /cluster/sdn/fabrics/all"] = (*Cluster).getFabrics
	m["PUT /cluster/sdn"] = (*Cluster).putSDN
	m["GET /cluster/sdn/zones/{zone}"] = (*Cluster).getZone
	m["GET /cluster/sdn/vnets/{vnet}"] = (*Cluster).getVnet
	m["DELETE /cluster/sdn/vnets/{vnet}"] = (*Cluster).deleteVnet
	m["POST /cluster/sdn/vnets/{vnet}/subnets"] = (*Cluster).postSubnet
	m["DELETE /cluster/sdn/vnets/{vnet}/subnets/{subnet}"] = (*Cluster).deleteSubnet
	m["GET /cluster/sdn/vnets/{vnet}/firewall"] = (*Cluster).getVnetFirewall
	m["POST /cluster/firewall/groups"] = (*Cluster).postFirewallGroup
	m["POST /cluster/firewall/groups/{group}"] = (*Cluster).postFirewallGroupRule
	m["POST /cluster/backup"] = (*Cluster).postJob
	m["DELETE /cluster/backup/{id}"] = (*Cluster).deleteJob
	m["GET /cluster/backup/{id}/included_volumes"] = (*Cluster).getIncluded
	m["GET /cluster/firewall/groups"] = (*Cluster).getFirewallGroups
	m["GET /cluster/firewall/groups/{group}"] = (*Cluster).getFirewallGroup
	m["GET /cluster/sdn/vnets/{vnet}/subnets"] = (*Cluster).getSubnets
	for file, id := range map[string]string{"zones": "zone", "vnets": "vnet", "controllers": "controller", "ipams": "ipam", "dns": "dns"} {
		m["GET /cluster/sdn/"+file] = sdn(file, id)
		m["POST /cluster/sdn/"+file] = postSDN(file, id)
	}
	for _, base := range []string{"/cluster", "/nodes/{node}", "/nodes/{node}/qemu/{vmid}", "/nodes/{node}/lxc/{vmid}",
		"/cluster/sdn/vnets/{vnet}"} {
		m["PUT "+base+"/firewall/options"] = (*Cluster).putFirewallOptions
		m["POST "+base+"/firewall/rules"] = (*Cluster).postFirewallRule
		m["GET "+base+"/firewall/options"] = (*Cluster).getFirewallOptions
		m["GET "+base+"/firewall/rules"] = (*Cluster).getFirewallRules
		if base == "/nodes/{node}" || base == "/cluster/sdn/vnets/{vnet}" {
			continue
		}
		m["POST "+base+"/firewall/aliases"] = (*Cluster).postFirewallAlias
		m["POST "+base+"/firewall/ipset"] = (*Cluster).postFirewallSet
		m["POST "+base+"/firewall/ipset/{name}"] = (*Cluster).postFirewallSetEntry
		m["GET "+base+"/firewall/aliases"] = (*Cluster).getFirewallAliases
		m["GET "+base+"/firewall/ipset"] = (*Cluster).getFirewallSets
		m["GET "+base+"/firewall/ipset/{name}"] = (*Cluster).getFirewallSet
	}
	for _, kind := range []string{"qemu", "lxc"} {
		base := "/nodes/{node}/" + kind + "/{vmid}"
		m["DELETE "+base] = (*Cluster).deleteGuest
		m["GET "+base+"/config"] = (*Cluster).getConfig
		m["GET "+base+"/pending"] = (*Cluster).getPending
		m["GET "+base+"/status/current"] = (*Cluster).getCurrent
		for _, verb := range []string{"start", "stop", "shutdown"} {
			m["POST "+base+"/status/"+verb] = (*Cluster).postPower
		}
	}
	return m
}
