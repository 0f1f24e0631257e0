import sys, time
from pathlib import Path
from chaoskit.backends.namespace.backend import NamespaceBackend
from chaoskit.model.lab import *
from chaoskit.model.steps import *
from chaoskit.model.facts import *

def bare(count):
    nodes=tuple(NodePlan(name=f"n{i}",group="n",interfaces=(InterfacePlan(device="eth0",network="lan",address=f"198.18.0.{i+1}",prefix=24,mac=f"02:c5:c6:12:00:{i+1:02x}"),),volumes={},services=()) for i in range(count))
    return LabPlan(name="bare",nodes=nodes,networks={"lan":"198.18.0.0/24"},roles={},ready=ReadySpec(),image=ImageSpec(),clients=())
b=NamespaceBackend()
for n in (3,10,10):
    t=time.monotonic()
    lab=b.up(bare(n),f"smoke{n}","r",Path("/tmp/ck/logs"),detached=False,progress=print)
    print(n, "up", round(time.monotonic()-t,3))
    print(lab.read(ReachQuery(source="n0",destination="n1")).value, lab.status())
    t=time.monotonic(); print(lab.perform(Exec(node="n0",argv=("sh","-c","id; hostname; cat /proc/1/comm; ls /; cat /etc/hosts|head -3"))).output, time.monotonic()-t)
    t=time.monotonic()
    lab.down()
    print(n, "down", round(time.monotonic()-t,3))
print(b.leftovers())
