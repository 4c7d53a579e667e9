import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__(); torch.manual_seed(0)
        self.a=nn.Conv2d(3,4,1); self.b=nn.Conv2d(4,3,1)
    def forward(self,x):
        return -(-self.b(self.a(x)))
def make(): return Net()
