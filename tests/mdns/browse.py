"""What python-zeroconf finds on the LAN, as JSON: browse.py KIND; or
browse.py own NAME ADDRESS KIND, which registers a service on a host of that name. Both stay."""
import json, socket, sys, time
from zeroconf import IPVersion, ServiceBrowser, ServiceInfo, Zeroconf

class Listener:
    def add_service(self, zeroconf, kind, name):
        info = zeroconf.get_service_info(kind, name, 3000)
        if info is not None:
            addresses = sorted(info.parsed_addresses())
            print(json.dumps({"found": name, "host": info.server, "port": info.port, "addresses": addresses}), flush=True)
    def remove_service(self, zeroconf, kind, name):
        print(json.dumps({"gone": name}), flush=True)
    def update_service(self, zeroconf, kind, name):
        pass

zeroconf = Zeroconf(ip_version=IPVersion.All)
if sys.argv[1] == "own":
    _, _, name, address, kind = sys.argv
    kind += ".local."
    zeroconf.register_service(ServiceInfo(kind, "%s.%s" % (name, kind), 9, server=name + ".local.",
        addresses=[socket.inet_aton(address)]))
    print(json.dumps({"listening": True}), flush=True)
else:
    ServiceBrowser(zeroconf, sys.argv[1] + ".local.", Listener())
    print(json.dumps({"listening": True}), flush=True)
while True:
    time.sleep(60)
